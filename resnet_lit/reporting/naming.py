"""What a cell is called where people read: at most a line, of what differs within its section.

`cell.title` names a cell by every value that varies, which in a mixed folder are many. Here what most cells have is left out, a
swept value is always there, a path is cut to its end, and a long value is a letter that the section's legend explains.
"""

from __future__ import annotations

import functools
import re
import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from resnet_lit.printable import printable
from resnet_lit.reporting.cells import GROUPS, Cell, Section
from resnet_lit.reporting.matching import paper_cell
from resnet_lit.typed import show

FEW = 3  # factors up to which every name has them all
WORD, VALUE = 24, 12  # characters of a word, and of another value, beyond which a letter stands for it
LINE, ALONE = 44, 64  # characters of a name, and of one that stands alone
USUAL = "the usual values"


@dataclass(frozen=True)
class Names:
    """The names of a section's cells. parts: what each is made of; legend: letter -> what it stands for; usual: left out."""

    parts: dict[str, tuple[str, ...]]  # by the cell's title
    legend: dict[str, str]
    usual: dict[str, str]
    values: dict[str, dict[str, str]]  # factor -> value as typed -> as names write it

    def __call__(self, cell: Cell) -> str:
        """What a cell is called; one that is not of the section (a single run of one) by its own title."""
        parts = self.parts.get(cell.title)
        return " · ".join(parts) if parts else shortened(cell.title, ALONE)

    def spelled(self, cell: Cell) -> str:
        """The same with what its letters stand for: beside a cell that is called A, they would mislead."""
        parts = [part.removeprefix("and ") for part in self.parts.get(cell.title, (self(cell),))]
        known = {f"{meaning.partition('=')[0]}={letter}": meaning for letter, meaning in self.legend.items()} | self.legend
        return " · ".join(shortened(known.get(part, part), LINE) for part in parts)

    def value(self, factor: str, cell: Cell) -> str:
        """A cell's value of a factor, as names write it."""
        typed = show(cell.factors[factor])
        return self.values.get(factor, {}).get(typed) or shortened(typed, WORD)


@functools.lru_cache(maxsize=256)
def names(section: Section) -> Names:
    """The names of the section's cells. As in `+cell=NAME` where the whole section is of the paper's grid."""
    found = [paper_cell(cell) for cell in section.cells]
    if len(found) > 1 and all(found):
        return Names({cell.title: (str(name),) for cell, name in zip(section.cells, found, strict=True)}, {}, {}, {})
    letters = _letters()
    legend: dict[str, str] = {}
    texts: dict[str, dict[str, str]] = {}  # factor -> value as typed -> as names write it
    for key, values in section.factors.items():
        texts[key] = _texts(key, values, letters, legend)
    usual, swept = _usual(section), _swept(section)
    parts: dict[str, tuple[str, ...]] = {}
    for cell in section.cells:
        typed = {key: show(value) for key, value in cell.factors.items()}
        told = [key for key in typed if usual.get(key) != typed[key] or cell.title in swept[key]]
        own = tuple(_part(key, texts[key][typed[key]]) for key in told) or (
            (USUAL,) if typed else (shortened(cell.title, ALONE),)
        )
        parts[cell.title] = _within_a_line(own, letters, legend)
    known = {key: texts[key][value] for key, value in usual.items()}
    return Names(parts, legend, known, texts)


def _letters() -> Iterator[str]:
    """A to Z, then A1, B1 and so on."""
    for number in range(1_000_000):
        yield from (f"{letter}{number or ''}" for letter in string.ascii_uppercase)


def _texts(key: str, values: tuple[Any, ...], letters: Iterator[str], legend: dict[str, str]) -> dict[str, str]:
    """Each value of a factor as names write it: short, and different for each."""
    brief = {show(value): _brief(key, value) for value in values}
    alike = Counter(brief.values())
    words = {show(value) for value in values if isinstance(value, str)}
    for typed, text in brief.items():
        if len(text) > (WORD if typed in words else VALUE) or alike[text] > 1:
            letter = next(letters)
            legend[letter] = f"{key}={printable(typed)}"
            brief[typed] = letter
    return brief


def _brief(key: str, value: Any) -> str:
    """A value without the folders or packages that it lies in."""
    text = printable(show(value))
    if isinstance(value, str) and "/" in value.strip("/"):
        return f"…/{printable(value.rstrip('/').rsplit('/', 1)[-1])}"
    if isinstance(value, str) and key.endswith("_target_"):
        return text.rsplit(".", 1)[-1]
    return text


def _usual(section: Section) -> dict[str, str]:
    """The values that more than half of the cells have, by factor, where there are so many factors that names grow long."""
    found: dict[str, str] = {}
    for key in section.factors if len(section.factors) > FEW else ():
        value, count = Counter(show(cell.factors[key]) for cell in section.cells).most_common(1)[0]
        if 2 * count > len(section.cells):
            found[key] = value
    return found


def _swept(section: Section) -> dict[str, set[str]]:
    """By factor: the titles of the cells that another cell differs from in this alone. Their names always tell it."""
    typed = {cell.title: {key: show(value) for key, value in cell.factors.items()} for cell in section.cells}
    found: dict[str, set[str]] = {}
    for key in section.factors:
        alike: dict[tuple[str, ...], set[str]] = {}
        for title, own in typed.items():
            alike.setdefault(tuple(value for other, value in own.items() if other != key), set()).add(title)
        found[key] = {title for titles in alike.values() if len(titles) > 1 for title in titles}
    return found


def _part(key: str, text: str) -> str:
    """`sgd_momentum`, but `batch_size=64`: the name of a choice speaks for itself."""
    return (
        text if key in GROUPS and re.match(r"[^\W\d]\w{2,}", text) and text.lower() not in ("none", "null") else f"{key}={text}"
    )


def _within_a_line(parts: tuple[str, ...], letters: Iterator[str], legend: dict[str, str]) -> tuple[str, ...]:
    """The parts; where they are longer than a line, a letter stands for the last ones."""
    if len(" · ".join(parts)) <= LINE:
        return parts
    kept = list(parts)
    while kept and len(" · ".join(kept)) > LINE - 12:
        kept.pop()
    letter = next(letters)
    legend[letter] = ", ".join(parts[len(kept) :])
    return (*kept, f"and {letter}") if kept else (f"settings {letter}",)


def shortened(text: str, length: int) -> str:
    """A text with its middle left out where it is longer; on one line."""
    plain = printable(text)
    half = (length - 1) // 2
    return plain if len(plain) <= length else f"{plain[:half]}…{plain[-half:]}"
