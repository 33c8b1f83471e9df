"""Names of what a network answers."""

from __future__ import annotations

from collections.abc import Sequence


def output_names(classes: Sequence[str], outputs: int) -> tuple[str, ...]:
    """A name for each output of a network: those of the data's classes, then "class 10" and so on for further outputs."""
    return (*classes, *(f"class {index}" for index in range(len(classes), outputs)))[:outputs]
