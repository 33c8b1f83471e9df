"""Make .venv and install resnet_lit into it; say beforehand how large that is, and meanwhile how far it is.

    python3 install.py digits      # what training and its reports need, and scikit-learn's digits (`make demo`, `make train`)
    python3 install.py dev         # everything, for the tests as well (`make setup`, `make test`)

pip's own settings hold, PIP_INDEX_URL and PIP_EXTRA_INDEX_URL among them. What pip says goes to .venv/install.log.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
LOG = VENV / "install.log"
GIB = 2**30
# Bytes of .venv on Linux, x86-64, with the versions of constraints.txt.
SIZES = {"digits": 6.0 * GIB, "dev": 6.7 * GIB}
DOWNLOAD = 3.0 * GIB  # compressed, without what pip has in its cache
CUDA = 4.0 * GIB  # of it: NVIDIA's libraries and Triton, which torch's builds for CPUs do without
LINE_SECONDS = 15.0  # between two lines where the output is no terminal
LOOK_SECONDS = 5.0  # between two looks at the size of .venv


def main() -> None:
    """The command. Exit status: pip's own where it fails, 2 for a word that is no extra."""
    extra = sys.argv[1] if len(sys.argv) == 2 else ""
    if extra not in SIZES:
        sys.exit(f"python install.py {' | '.join(SIZES)}")
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever calls it with an older one is told so
        sys.exit(f"resnet_lit needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable})")
    print(announcement(extra, shutil.disk_usage(HERE).free), flush=True)
    python = VENV / "bin" / "python"
    meter = Meter(SIZES[extra] if sys.platform == "linux" else None)
    with meter:
        meter.phase = "making .venv"
        made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True)
        if made.returncode == 0:
            status, errors = install(python, extra, meter)
        else:
            status, errors = made.returncode, (made.stdout + made.stderr).splitlines()
    if status:
        print("\n".join([*errors, f"the install has failed; {LOG} has all that pip said"]), file=sys.stderr)
        sys.exit(status)
    print(f"installed in {clock(meter.seconds)}; .venv has {size_of(VENV) / GIB:.1f} GiB", flush=True)


def announcement(extra: str, free: int) -> str:
    """What is about to be installed, and how much that is."""
    what = {"digits": "the package and what training needs", "dev": "the package and what its tests need"}[extra]
    lines = [f"installing {what} into .venv ({free / GIB:.0f} GiB free)"]
    if sys.platform == "linux":
        disk, download, cuda = (f"{size / GIB:.1f} GiB" for size in (SIZES[extra], DOWNLOAD, CUDA))
        lines.append(f"  {disk} on disk, {cuda} of it CUDA libraries; {download} to download")
        if shutil.which("nvidia-smi") is None and not os.environ.get("PIP_EXTRA_INDEX_URL"):
            lines.append("  without a GPU, torch's CPU builds need less: see docs/how-to.md")
    return "\n".join(lines)


def install(python: Path, extra: str, meter: Meter) -> tuple[int, list[str]]:
    """Run pip; its exit status, and its lines about what went wrong."""
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--constraint", "constraints.txt", "--editable", f".[{extra}]"]
    errors: list[str] = []
    with (
        LOG.open("w") as log,
        subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as pip,
    ):
        assert pip.stdout is not None
        for line in pip.stdout:
            log.write(line)
            meter.phase = phase(line) or meter.phase
            if line.startswith("ERROR"):
                errors.append(line.rstrip())
    return pip.returncode, errors


def phase(line: str) -> str | None:
    """What pip is doing, from a line of its output; None where the line says nothing of that."""
    words = line.split()
    if match := re.match(r"\s*(?:Downloading|Using cached) (\S+?)-\d\S* (\([\d.]+ [kMG]B\))", line):
        return f"downloading {match[1].rpartition('/')[2]} {match[2]}"
    if line.startswith(("Collecting ", "Processing ")) and len(words) > 1:
        return f"collecting {re.split(r'[<>=!~;[]|-[0-9]', words[1].rpartition('/')[2])[0]}"
    if line.startswith("Installing collected packages"):
        return f"unpacking {line.count(',') + 1} packages"
    return None


class Meter:
    """Shows the phase, the time passed and the size of .venv: one changing line on a terminal, a line now and then elsewhere."""

    def __init__(self, expected: float | None) -> None:
        self.expected = expected
        self.phase = ""
        self._terminal = sys.stdout.isatty()
        self._started, self._over = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._terminal:
            print("\r\x1b[K", end="", flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def _run(self) -> None:
        looked, shown, size = -LOOK_SECONDS, 0.0, 0
        while not self._over.wait(0.5):
            if self.seconds - looked > LOOK_SECONDS:
                size, looked = size_of(VENV), self.seconds
            text = f"  {clock(self.seconds)}  {self.text(size)}"
            if self._terminal:
                print(f"\r{text[: shutil.get_terminal_size().columns - 1]}\x1b[K", end="", flush=True)
            elif self.seconds - shown > LINE_SECONDS:
                shown = self.seconds
                print(text, flush=True)

    def text(self, size: int) -> str:
        """`unpacking 57 packages; 2.1 of about 5.8 GiB`."""
        if not self.phase.startswith("unpacking"):
            return self.phase
        whole = f" of about {self.expected / GIB:.1f}" if self.expected else ""
        return f"{self.phase}; {size / GIB:.1f}{whole} GiB"


def size_of(folder: Path) -> int:
    """Bytes that the files below a folder take on disk. pip renames and removes files meanwhile: what has gone counts nothing."""
    size = 0
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    size += size_of(Path(entry.path))
                else:
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
    return size


def clock(seconds: float) -> str:
    """`1:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


if __name__ == "__main__":
    main()
