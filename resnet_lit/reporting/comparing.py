"""Two runs or cells side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.contents import Comparison
from resnet_lit.reporting.naming import names
from resnet_lit.reporting.runs import Damaged, Run
from resnet_lit.reporting.statistics import Difference, difference, image_difference
from resnet_lit.typed import Refused, nearest, show

METRICS = ("test/accuracy", "test/accuracy_last", "test/loss", "val/accuracy", "train/accuracy", "gap", "seconds")


class NotFound(Refused):
    """No run or cell has this name."""


def compare(sections: Sequence[Section], first: str, second: str) -> Comparison:
    """The cells or runs that the words name: a run folder, a cell's title, a run's label. Raises NotFound."""
    a, one = find(sections, first)
    b, other = find(sections, second)
    values = {key: (one.values.get(key), other.values.get(key)) for key in sorted({*one.values, *other.values})}
    if len(one.runs) == len(other.runs) == 1:
        values["seed"] = one.runs[0].seed, other.runs[0].seed
    return Comparison(
        one,
        other,
        {key: both for key, both in values.items() if show(both[0]) != show(both[1])},
        {metric: difference(x, y) for metric in METRICS if (x := one.by_seed(metric)) and (y := other.by_seed(metric))},
        _same_images(a, b, one, other),
        (_name(a, one), _name(b, other)),
        tuple(f"{_name(section, cell)} ({section.variant}, {section.protocol})" for section, cell in ((a, one), (b, other))),  # type: ignore[arg-type]
        _warning(a, b),
    )


def find(sections: Sequence[Section], word: str) -> tuple[Section, Cell]:
    """The section and the cell that a word names; a run folder gives a cell of that run alone. Raises NotFound."""
    cells = [(section, cell) for section in sections for cell in section.cells]
    folder = Path(word).resolve()
    runs = [(section, cell, run) for section, cell in cells for run in cell.runs]
    here = [found for found in runs if found[2].folder.resolve() == folder]
    named = here or [found for found in runs if word in (found[2].identity, found[2].label, found[2].folder.name)]
    if len(named) == 1:
        section, cell, run = named[0]
        return section, _alone(cell, run)
    titled = [found for found in cells if word in (found[1].title, names(found[0])(found[1])) or _matches(found[1], word)]
    if len(titled) == 1:
        return titled[0]
    if len(named) > 1 or titled:
        raise NotFound(f"{word}: names {len(named) or len(titled)} of them; give a run folder, or fewer folders to look in")
    titles = [names(section)(cell) for section, cell in cells]
    hint = nearest(word, titles) or (f" (for instance {titles[0]!r})" if titles else "")
    raise NotFound(f"{word}: no run folder and no cell of this name{hint}")


def _matches(cell: Cell, word: str) -> bool:
    """Whether every part of the words, in any order, is in the title."""
    return bool(word.split()) and set(word.replace(",", " ").split()) == set(cell.title.split())


def _name(section: Section, cell: Cell) -> str:
    """What a side is called: the cell, and the seed of a single run."""
    whole = next((own for own in section.cells if own.values == cell.values), cell)
    seed = f", seed {cell.runs[0].seed}" if len(cell.runs) == 1 and len(whole.runs) > 1 else ""
    return f"{names(section).spelled(whole)}{seed}"


def _alone(cell: Cell, run: Run) -> Cell:
    return Cell(f"{cell.title} seed={run.seed}", cell.factors, (run,))


def _same_images(a: Section, b: Section, one: Cell, other: Cell) -> Difference | None:
    """Two single networks on the same test images, compared image by image; None where that is not possible."""
    if a.data_hash != b.data_hash or len(one.finished) != 1 or len(other.finished) != 1:
        return None
    try:
        first, second = one.finished[0].outputs(), other.finished[0].outputs()
    except Damaged:
        return None
    if not first or not second or first["targets"].tolist() != second["targets"].tolist():
        return None
    rights = [found["logits"].argmax(1) == found["targets"] for found in (first, second)]
    return image_difference(*rights)


def _warning(a: Section, b: Section) -> str:
    if a is b:
        return ""
    names = (
        ("variant", "data"),
        ("data_hash", "data"),
        ("protocol", "protocol"),
        ("scale", "scale"),
        ("test_images", "test set"),
    )
    differ = list(dict.fromkeys(word for name, word in names if getattr(a, name) != getattr(b, name)))
    return f"They differ in {' and '.join(differ)}: their numbers do not compare."
