"""What is brought back from the machine: few files of limited size, each replaced in one step, so that a cut leaves them whole.

outputs.tar.gz      the run folders without their checkpoints, and the measurements
network.ckpt.00, …  one network, that of the most valuable run (cat network.ckpt.* >network.ckpt)
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

RECORDS, NETWORK, NEW = "outputs.tar.gz", "network.ckpt", "new.part"
PART = 15 * 2**20
LARGEST = 56 * 2**20  # a network beyond it stays behind


def keep_records(outputs: Path, folder: Path) -> None:
    """Write RECORDS. A file that is being replaced meanwhile comes along the next time."""
    if outputs.is_dir():
        new = folder / NEW
        try:
            with tarfile.open(new, "w:gz", compresslevel=4) as archive:
                archive.add(outputs, outputs.name, filter=_without_checkpoints)
        except OSError:
            new.unlink(missing_ok=True)
            return
        os.replace(new, folder / RECORDS)


def keep_file(path: Path, folder: Path) -> None:
    """Copy a small file, where it is there."""
    if path.is_file():
        _replace(folder / path.name, path.read_bytes())


def keep_network(runs: Iterable[Path], folder: Path) -> str | None:
    """Write the network of the first run folder that has one small enough, in parts; the path of its checkpoint."""
    checkpoints = (run / "checkpoints" / name for run in runs for name in ("best.ckpt", "last.ckpt"))
    for path in checkpoints:
        if path.is_file() and path.stat().st_size <= LARGEST:
            content = path.read_bytes()
            parts = {f"{NETWORK}.{k:02}": content[k * PART : (k + 1) * PART] for k in range(-(-len(content) // PART))}
            for old in folder.glob(f"{NETWORK}.*"):
                if old.name not in parts:
                    old.unlink()
            for name, part in parts.items():
                _replace(folder / name, part)
            return str(path)
    return None


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(NEW)
    new.write_bytes(content)
    os.replace(new, path)


def _without_checkpoints(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.name.endswith((".ckpt", ".lock")) else entry
