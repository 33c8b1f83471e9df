"""Runs that another process trains: a sweep waits for them and takes their results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from resnet_lit import heartbeat
from resnet_lit import record as records

LOOK_SECONDS = 2.0


def wait(folders: Sequence[Path]) -> None:
    """Return when no living process holds one of `folders` any more; a line says whom it waits for."""
    for number, folder in enumerate(folders, start=1):
        if records.is_held(folder):
            place = f"[{number}/{len(folders)}] " if len(folders) > 1 else ""
            print(f"{place}waiting for a run of another process: {_holder(folder)}", flush=True)
        while records.is_held(folder):
            time.sleep(LOOK_SECONDS)


def _holder(folder: Path) -> str:
    holder = heartbeat.read(folder / heartbeat.HEARTBEAT) or {}
    return f"{folder} is trained by process {holder.get('pid', '?')} on {holder.get('host', '?')}"
