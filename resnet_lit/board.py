"""TensorBoard on the runs of some folders, for the eyes of this machine alone.

python -m resnet_lit.board                            all runs of outputs/
python -m resnet_lit.board outputs/model4 --port=6007

Runs are called by what they are, `model4 optimizer=adam batch_size=64 seed=1`; new ones appear as they begin. The first free port
from 6006 on is taken. Further options are TensorBoard's own, each with its value behind `=`; --bind_all opens it to the network.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from resnet_lit import record as records
from resnet_lit.config import OUTPUTS
from resnet_lit.printable import printable
from resnet_lit.run_name import safe_name
from resnet_lit.run_path import run_folder

HOST = "127.0.0.1"
INFIX = "tfevents"  # by it TensorBoard knows an event file
SUFFIX = ".old"  # the event file of a run that is being resumed, until it has been copied
PARTS = ("checkpoints", "evaluations", "wandb")  # of a run's folder; none holds events
NAME_LENGTH = 200  # bytes: a file name holds 255
REST = 20  # a look at the folders may take one part in so many of the time between two


def main() -> None:
    """The command."""
    words = sys.argv[1:]
    if {"-h", "--help"} & {*words}:
        print(__doc__)
        sys.exit(0)
    folders = [str(run_folder(word)) for word in words if not word.startswith("-")] or [OUTPUTS]
    options = [word for word in words if word.startswith("-")]
    if any(option.partition("=")[0] in ("--logdir", "--logdir_spec") for option in options):
        sys.exit(_refused("--logdir: name the folder alone (python -m resnet_lit.board outputs)"))
    for folder in folders:
        if not os.path.isdir(folder):
            hint = (
                "an option's value goes behind =" if folder.isdigit() else "runs are below outputs/, or where hydra.run.dir said"
            )
            sys.exit(_refused(f"{folder}: no such folder ({hint})"))
    try:
        sys.exit(_serve(folders, options))
    except KeyboardInterrupt:  # before the server was up, which ends on Ctrl-C by itself
        sys.exit(130)


def _refused(line: str) -> int:
    print(line, file=sys.stderr)
    return 2


def _serve(folders: Sequence[str], options: Sequence[str]) -> int:
    """TensorBoard until it is ended; its exit status."""
    with tempfile.TemporaryDirectory(prefix="resnet_lit_board_") as shown:
        links = Links([*map(Path, folders)], Path(shown))
        count = links.update()
        print(
            f"{printable(' '.join(folders))}: {count or 'no'} run{'' if count == 1 else 's'} so far", file=sys.stderr, flush=True
        )
        threading.Thread(target=links.follow, name="links", daemon=True).start()
        from tensorboard.main import run_main  # a second or two

        local = [] if "--bind_all" in options else [f"--host={HOST}"]
        sys.argv = ["tensorboard", f"--logdir={shown}", f"--window_title={' '.join(folders)}", *local, *options]
        try:
            run_main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


# --- the names


class Links:
    """A folder that TensorBoard is shown: a subfolder for each run, readably named, with a link to its event file.

    TensorBoard calls a run by its folder, and ours end in a hash. roots: where the runs are; into: an empty folder.
    """

    def __init__(self, roots: Sequence[Path], into: Path) -> None:
        self._roots, self._into = roots, into
        self._names: dict[Path, str] = {}
        self._files: dict[Path, set[str]] = {}

    def update(self) -> int:
        """Take in what has changed on disk; the number of runs."""
        found = {folder: files for root in self._roots for folder, files in event_files(root)}
        for folder in self._names.keys() - found.keys():
            shutil.rmtree(self._into / self._names.pop(folder), ignore_errors=True)
            del self._files[folder]
        taken = {*self._names.values()}
        for folder in sorted(found.keys() - self._names.keys()):
            self._names[folder] = _free_name(folder, taken)
            taken.add(self._names[folder])
            self._files[folder] = set()
            (self._into / self._names[folder]).mkdir(exist_ok=True)
        for folder, files in found.items():
            here, linked = self._into / self._names[folder], self._files[folder]
            for name in files - linked:
                (here / name).symlink_to(folder / name)
                linked.add(name)
            for name in linked - files:  # a resumed run has a new event file, which begins with the rows of the old one
                (here / name).unlink()
                linked.discard(name)
        return len(found)

    def follow(self, seconds: float = 5.0) -> None:
        """Update for ever, every so many seconds."""
        while True:
            time.sleep(seconds)
            began = time.perf_counter()
            try:
                self.update()
            except OSError as error:  # a folder that was removed just now; or TensorBoard has ended
                if not self._into.is_dir():
                    return
                print(f"{error}: trying again in {seconds:.0f} s", file=sys.stderr)
            seconds = max(seconds, REST * (time.perf_counter() - began))


def _free_name(folder: Path, taken: set[str]) -> str:
    """A name that no other run has: two may differ in what a name does not say."""
    name, tail = run_name(folder), _safe(folder.name.rpartition("-")[2])  # the identity
    tries = (f"{name} {tail} {number}" for number in range(2, len(taken) + 3))
    return next(free for free in chain((name, f"{name} {tail}"), tries) if free not in taken)


def event_files(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """The folders at and below `root` that hold TensorBoard's events, absolute, with the names of the event files."""
    seen = set()
    for place, below, names in os.walk(root.resolve(), followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # a link to a folder above
            below.clear()
            continue
        seen.add(real)
        if records.RESULT in names:
            below[:] = [name for name in below if name not in PARTS]
        files = {name for name in names if INFIX in name and not name.endswith(SUFFIX)}
        if files:
            yield Path(place), files


def run_name(folder: Path) -> str:
    """`model4 optimizer=adam batch_size=64 seed=1`, from the run's record; from its path where it has none that can be read."""
    try:
        record = records.read(folder) or {}
        words = [str(record[key]) for key in ("name", "scale") if record[key]] + [
            *filter(None, (record["label"] or "").split(","))
        ]
        if not any(word.startswith("seed=") for word in words):
            words.append(f"seed={record['seed']}")
        words = ["debug", *words] if record["debug"] else words
    except (records.FolderError, KeyError, AttributeError):
        words = [*folder.parts[-2:]]
    return _safe(" ".join(words)) or "run"


def _safe(text: str) -> str:
    """Characters that are safe in a file name and in a page; a label may be the user's own."""
    name = safe_name(text, also=" []").encode()[:NAME_LENGTH]
    return name.decode(errors="ignore")


if __name__ == "__main__":
    main()
