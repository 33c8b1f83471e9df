"""The command, killed at a stated place: `python -m benchmarks.kill_at PLACE NTH WORDS...`.

When the place is reached for the NTH time, SIGKILL ends the whole process group: nothing is cleaned up. The package runs as it
is; what marks the place is wrapped from outside. Used by `benchmarks.kill_matrix`.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any


def _is_half(path: Any, which: str) -> bool:
    """Whether a path is that of a checkpoint that is being written."""
    name = getattr(path, "name", "")
    return name.startswith(f".{which}.ckpt.") and name.endswith(".tmp")


# Where: the function whose call marks it, and which of its calls count.
PLACES: dict[str, tuple[str, Callable[..., bool]]] = {
    "in a step": ("resnet_lit.module:LitClassifier.training_step", lambda *_, **__: True),
    "half a checkpoint written": ("torch:save", lambda content, path, *_, **__: _is_half(path, "last")),
    "between the two renames": ("pathlib:Path.replace", lambda path, *_: _is_half(path, "last")),
    "before best.ckpt is renamed": ("pathlib:Path.replace", lambda path, *_: _is_half(path, "best")),
    "at an epoch's end": ("resnet_lit.callbacks.progress:ShowProgress.on_train_epoch_end", lambda *_: True),
    "at an epoch's start": ("resnet_lit.callbacks.timing:Timing.on_train_epoch_start", lambda *_: True),
    "in an evaluation": ("resnet_lit.module:LitClassifier.validation_step", lambda *_, **__: True),
    "in the test": ("resnet_lit.module:LitClassifier.test_step", lambda *_, **__: True),
    "before the final record": ("resnet_lit.record:write", lambda folder, record, *_: record["status"] == "finished"),
    "while going on": ("resnet_lit.callbacks.metrics:Metrics.on_train_start", lambda *_: True),
}


def main() -> None:
    """Wrap the place, then run `resnet_lit.train` as `python -m` would."""
    place, nth, words = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    target, counts = PLACES[place]
    module, _, name = target.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), itertools.count(1)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if counts(*args, **kwargs) and next(calls) == nth:
            if place == "half a checkpoint written":
                original(*args, **kwargs)
                os.truncate(args[1], args[1].stat().st_size // 2)
            os.killpg(os.getpgrp(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)
    sys.argv[1:] = words
    runpy.run_module("resnet_lit.train", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
