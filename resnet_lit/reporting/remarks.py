"""What a reader must know of single runs that are in the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from resnet_lit.escaping import hides
from resnet_lit.reporting.runs import Problem, Run


def remarks(runs: Iterable[Run]) -> Iterator[Problem]:
    """The runs whose names or values hold what cannot be printed; it is spelled out wherever they are shown."""
    for run in runs:
        texts = {
            "its folder's name": str(run.folder),
            "a class name": "".join(run.classes),
            "a value of its config": _texts(run.config),
            "its name, label or reason": f"{run.name}{run.label}{run.reason}",
        }
        if found := [where for where, text in texts.items() if hides(text)]:
            yield Problem(run.folder, f"{found[0]} holds characters that cannot be printed: they are spelled out, as in \\x07")


def _texts(value: Any) -> str:
    """All texts in plain data, one after the other."""
    if isinstance(value, dict):
        return "".join(f"{key}{_texts(item)}" for key, item in value.items())
    return "".join(map(_texts, value)) if isinstance(value, list | tuple) else value if isinstance(value, str) else ""
