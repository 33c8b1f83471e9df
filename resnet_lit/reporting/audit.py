"""The paper's eight contradictions: the evidence, counted or read from its own numbers here, and what our runs say about each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from resnet_lit import formatting, paper
from resnet_lit.models.architecture import Architecture
from resnet_lit.models.cost import count_parameters
from resnet_lit.reporting.analysis import optimism
from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.contents import Audit, OrderClaim
from resnet_lit.reporting.matching import NETWORKS
from resnet_lit.reporting.naming import names
from resnet_lit.reporting.statistics import seeds_needed
from resnet_lit.typed import show

Cells = Mapping[str, Sequence[tuple[Section, Cell]]]
NO_RUN = "Not measured: no run here bears on it."
NEEDS_NO_RUN = "This is a count: it needs no run."


def audit(sections: Sequence[Section], cells: Cells, orders: Iterable[OrderClaim]) -> tuple[Audit, ...]:
    """All eight. cells: our cells by the paper cell that they repeat."""
    real = [section for section in sections if not section.says_nothing]
    return (
        Audit(1, "Model 4's channels contradict its parameter count", _channels(), (NEEDS_NO_RUN,)),
        Audit(2, "Skip kernel 3 contradicts every count, and so does P = 4 for model 1", _kernels(), (NEEDS_NO_RUN,)),
        Audit(3, "Models 1 to 3 look as if trained with dropout, model 4 without", _training(), _training_of_ours(cells)),
        Audit(4, "Batch 64 is worse than both 32 and 128 in every model", _batches(), _batches_of_ours(orders)),
        Audit(5, "Model 4's text and rows credit its best number differently", _credited(), _credited_of_ours(cells)),
        Audit(6, "Model 1's best row: batch 256 in the text, 128 in the caption, no row of 256", _batch_256(), _largest(real)),
        Audit(7, "One seed a cell: differences below the seeds' noise decide nothing", _one_seed(), _noise(real)),
        Audit(8, "The test set chose the epoch: every headline is optimistic", _chosen(), _optimism(real)),
    )


def _model(name: str) -> paper.Model:
    return next(model for model in paper.MODELS if model.name == name)


def _count(network: Architecture, **changes: object) -> str:
    return f"{count_parameters(dataclasses.replace(network, **changes)):,}"  # type: ignore[arg-type]


def _rows(model: str) -> dict[str, paper.Result]:
    return {result.row: result for result in paper.RESULTS if result.model == model and result.epoch == paper.EPOCHS}


def _channels() -> tuple[str, ...]:
    model, network = _model("model4"), NETWORKS["model4"]
    said = _count(network, channels=model.channels)
    right = _count(network)
    return (
        f"The text gives C = {show(model.channels)}: {said} trainable parameters. It prints {model.parameters:,}.",
        f"C = {show(network.channels)} gives {right}.",
    )


def _kernels() -> tuple[str, ...]:
    lines = []
    for model in paper.MODELS:
        network = NETWORKS[model.name]
        stated = _count(network, skip_kernels=model.skip_kernels)
        lines.append(
            f"{model.name}: K = {model.skip_kernels} gives {stated}, K = 1 gives {_count(network)}; printed {model.parameters:,}."
        )
    first = _model("model1")
    pooled = _count(NETWORKS["model1"], pool=first.pool)
    layers = f"The text lists {len(first.blocks)} values of B for the {len(first.channels)} layers of model 1."
    return (*lines, f"model1: P = {first.pool} gives {pooled}; a pool of 8 over all pixels gives the printed count.", layers)


def _training() -> tuple[str, ...]:
    lines = []
    for model in paper.MODELS:
        shares = [row.train_accuracy for row in _rows(model.name).values() if row.train_accuracy is not None]
        lines.append(f"{model.name}: training accuracy of {100 * min(shares):.1f} to {100 * max(shares):.1f}% after 200 epochs.")
    return (
        *lines,
        "So the ranking of the networks is confounded with their regularisation: `+sweep=paper` trains every row both ways.",
    )


def _training_of_ours(cells: Cells) -> tuple[str, ...]:
    lines = []
    for model in paper.MODELS:
        for kind in paper.BOTH:
            name = paper.Cell(model.name, regularization=kind).name
            for section, cell in cells.get(name, ()):
                if (found := cell.summary("train/accuracy")) is not None:
                    lines.append(f"{name} ({_where(section)}): training accuracy {formatting.summary('train/accuracy', found)}%.")
    return tuple(lines) or (NO_RUN,)


def _batches() -> tuple[str, ...]:
    lines = []
    for model in paper.MODELS:
        rows = _rows(model.name)
        small, middle, large = (100 * rows[f"batch {size}"].test_accuracy for size in (32, 64, 128))
        lines.append(f"{model.name}: {small:.2f}, {middle:.2f}, {large:.2f}% with batch 32, 64, 128.")
    return (*lines, "No effect of the batch size alone explains a dip in the middle, four times out of four.")


def _batches_of_ours(orders: Iterable[OrderClaim]) -> tuple[str, ...]:
    lines = [
        f"{contrast.what} ({_where(order.section)}): "
        f"{formatting.apart('test/accuracy', contrast.difference, ' points')}: {contrast.verdict}."
        for order in orders
        if order.statement.startswith("Batch 64") and order.section is not None
        for contrast in order.contrasts
    ]
    return tuple(lines) or (NO_RUN,)


def _credited() -> tuple[str, ...]:
    rows = _rows("model4")
    return (
        f"The text credits {_model('model4').credited}.",
        f'The row "SGD + momentum" says {100 * rows["SGD + momentum"].test_accuracy:.2f}%, the row "batch 128" '
        f"{100 * rows['batch 128'].test_accuracy:.2f}%: under the stated recipe they are one run.",
    )


def _credited_of_ours(cells: Cells) -> tuple[str, ...]:
    name = paper.Cell("model4").name
    lines = [
        f"{name} ({_where(section)}): {formatting.summary('test/accuracy_last', found)}% in its last epoch."
        for section, cell in cells.get(name, ())
        if (found := cell.summary("test/accuracy_last")) is not None
    ]
    return tuple(lines) or (NO_RUN,)


def _batch_256() -> tuple[str, ...]:
    sizes = sorted({row for row in _rows("model1") if row.startswith("batch")}, key=lambda row: int(row.split()[1]))
    best = max(_rows("model1").values(), key=lambda result: result.test_accuracy)
    return (
        f"The text credits {_model('model1').credited}; the rows are {', '.join(sizes)}.",
        f'{100 * best.test_accuracy:.2f}% is the row "{best.row}", whose caption says batch 128.',
    )


def _largest(sections: Iterable[Section]) -> tuple[str, ...]:
    lines = [
        f"{names(section)(cell)} ({_where(section)}): {formatting.summary('test/accuracy', found)}%."
        for section in sections
        for cell in section.measured
        if cell.values.get("data.batch_size") == 256 and (found := cell.summary("test/accuracy")) is not None
    ]
    return tuple(lines) or ("Not measured: no run here has batch 256.",)


def _one_seed() -> tuple[str, ...]:
    rows = [row.test_accuracy for row in _rows("model4").values()]
    first, second = sorted(rows, reverse=True)[:2]
    gap = first - second
    lines = [f"Every number is of one run. Model 4's two best rows lie {100 * gap:.2f} points apart."]
    for sd in (0.001, 0.0015, 0.002):
        seeds = seeds_needed(gap, sd)
        lines.append(f"With seeds that vary by {100 * sd:g} points (s.d.), {seeds} seeds a cell resolve that with 80% power.")
    return tuple(lines)


def _noise(sections: Iterable[Section]) -> tuple[str, ...]:
    lines = []
    for section in sections:
        found = [of for cell in section.measured if (of := cell.summary("test/accuracy")) is not None and of.sd is not None]
        if not found:
            continue
        degrees = np.array([of.n - 1 for of in found])
        pooled = float(np.sqrt((degrees * np.array([of.sd for of in found]) ** 2).sum() / degrees.sum()))
        lines.append(
            f"{section.title}: the seeds of a cell vary by {100 * pooled:.2f} points (s.d., pooled over {len(found)} cells with "
            f"{degrees.sum() + len(found)} runs)."
        )
    return tuple(lines) or (NO_RUN,)


def _chosen() -> tuple[str, ...]:
    return (
        f"The headline, {formatting.percent(paper.HEADLINE.test_accuracy)}, is the best test accuracy over the epochs, at epoch "
        f"{paper.HEADLINE.epoch}; nothing was held out.",
    )


def _optimism(sections: Iterable[Section]) -> tuple[str, ...]:
    lines = []
    for section in sections:
        found = optimism(section)
        if found is None:
            continue
        gain = formatting.number("optimism", found.gain.mean, sign=True)
        limits = formatting.interval("optimism", found.gain.low, found.gain.high, sign=True)
        who = "test set" if found.chosen_on == "test" else "validation part"
        lines.append(
            f"{section.title}: the epoch chosen by the {who} is {gain} points from the last one in test accuracy"
            f"{f' (95% interval {limits})' if limits else ''}, over {found.gain.n} runs."
        )
    return tuple(lines) or (NO_RUN,)


def _where(section: Section | None) -> str:
    return "" if section is None else f"{section.variant}, protocol {section.protocol}"
