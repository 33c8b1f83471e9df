"""Learning curves of cells: the mean over the seeds at each epoch and the range from the lowest to the highest of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from resnet_lit.reporting.cells import Cell
from resnet_lit.reporting.charts import Row
from resnet_lit.reporting.runs import Damaged, Run

POINTS = 60  # epochs drawn of a curve
SEEDS = 10  # runs of a cell that are read for its band

# part: its column in metrics.csv for accuracy and for loss.
PARTS = {
    "training": ("train/accuracy_epoch", "train/loss_epoch"),
    "validation": ("val/accuracy", "val/loss"),
    "test": ("test/accuracy", "test/loss"),
}
Series = dict[str, dict[int, float]]  # column -> epoch -> value


def bands(cells: Iterable[tuple[str, Cell]], parts: Sequence[str]) -> tuple[list[Row], list[Row], list[str]]:
    """Rows for `charts.curves` of the accuracy and of the loss of named cells, and the reasons of what could not be read."""
    accuracy: list[Row] = []
    loss: list[Row] = []
    troubles: list[str] = []
    for name, cell in cells:
        read = [found for run in cell.finished[:SEEDS] if (found := _series(run, troubles))]
        for part in parts:
            for rows, column in zip((accuracy, loss), PARTS[part], strict=True):
                rows += [{"cell": name, "part": part, **row} for row in _band([series.get(column, {}) for series in read])]
    return accuracy, loss, troubles


def _series(run: Run, troubles: list[str]) -> Series:
    """What metrics.csv says at the end of each epoch."""
    try:
        columns = run.curves()
    except Damaged as error:
        troubles.append(str(error))
        return {}
    epochs = columns.get("epoch")
    if epochs is None:
        return {}
    found: Series = {}
    for column in (name for pair in PARTS.values() for name in pair if name in columns):
        there = ~np.isnan(columns[column]) & ~np.isnan(epochs)
        values = {int(epoch): float(value) for epoch, value in zip(epochs[there], columns[column][there], strict=True)}
        if len(values) > 1 or column.startswith("train"):  # one reading of the test set at the end is no curve
            found[column] = values
    return found


def _band(series: list[dict[int, float]]) -> list[Row]:
    """Mean, lowest and highest at each epoch, at most POINTS of them: the first, the last and evenly between."""
    epochs = sorted({epoch for values in series for epoch in values})
    if len(epochs) > POINTS:
        epochs = [epochs[place] for place in np.linspace(0, len(epochs) - 1, POINTS).round().astype(int)]
    rows: list[Row] = []
    for epoch in epochs:
        values = [found[epoch] for found in series if epoch in found]
        rows.append({"epoch": epoch, "mean": float(np.mean(values)), "low": min(values), "high": max(values), "n": len(values)})
    return rows
