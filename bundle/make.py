"""Everything for a run on a machine without network, in one archive: dist/resnet_lit-<version>-<commit>.tar.gz (`make bundle`).

The machine has torch, torchvision, lightning, torchmetrics and tensorboard. What else a run needs is pure Python: it is copied
out of this environment into lib/, and nothing has to be installed there: tar xzf …; ./run -m +sweep=paper +scale=gpu.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

import resnet_lit
from resnet_lit import record

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# Pure Python, each with what it needs that torch and Lightning do not bring along.
PACKAGES = (
    "hydra-core",
    "omegaconf",
    "antlr4-python3-runtime",
    "hydra-joblib-launcher",
    "joblib",
    "rich",
    "markdown-it-py",
    "mdurl",
    "pygments",
)


def main() -> None:
    """The command. --out=DIR: where the archive goes (default dist/)."""
    out = next((Path(word.removeprefix("--out=")) for word in sys.argv[1:] if word.startswith("--out=")), ROOT / "dist")
    print(build(out))


def build(out: Path) -> Path:
    """Write the archive into the folder `out`; its path."""
    out.mkdir(parents=True, exist_ok=True)
    built = record.git()
    commit = (built["commit"] or "unknown")[:10] + ("-dirty" if built["dirty"] else "")
    name = f"resnet_lit-{resnet_lit.__version__}-{commit}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        fill(folder / "lib")
        (folder / "lib" / "resnet_lit" / "built.json").write_text(json.dumps(built) + "\n")
        shutil.copy(HERE / "run", folder)
        text = (HERE / "README.md").read_text()
        text = text.format(version=resnet_lit.__version__, commit=commit, packages=", ".join(PACKAGES))
        (folder / "README.md").write_text(text)
        with tarfile.open(out / f"{name}.tar.gz", "w:gz") as archive:
            for path in sorted(folder.iterdir()):  # into the folder that it is unpacked in
                archive.add(path, path.name, filter=_plain)
    return out / f"{name}.tar.gz"


def fill(lib: Path) -> None:
    """Put package, benchmarks, the programs of the GPU kit and PACKAGES into `lib`."""
    for package in PACKAGES:
        for file in metadata.files(package) or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:  # scripts lie outside
                (lib / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), lib / file)
    wheels = lib.parent / "wheels"
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, ROOT],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(lib)
    shutil.rmtree(wheels)
    for folder in (ROOT / "benchmarks", HERE / "gpu_kit"):
        shutil.copytree(folder, lib / folder.name, ignore=shutil.ignore_patterns("__pycache__"))


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main()
