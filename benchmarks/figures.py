"""The pictures of docs/performance.md, from the numbers of the benchmarks."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

COLORS = ("#3b6ea5", "#7fa7cf", "#d08a3c", "#e7c08b", "#6b9e6b", "#8d7fb5", "#b9b9b9")
mpl.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "resnet_lit",
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
)


def profile(sides: dict[str, dict[str, float]], path: Path) -> None:
    """Stacked bars: seconds of one step by kind of work."""
    kinds = sorted({kind for side in sides.values() for kind in side}, key=lambda k: -max(s.get(k, 0) for s in sides.values()))
    figure, axes = plt.subplots(figsize=(8, 0.75 * len(sides) + 1.5))
    for row, side in enumerate(sides.values()):
        left = 0.0
        for kind, color in zip(kinds, COLORS, strict=False):
            width = side.get(kind, 0.0)
            axes.barh(row, width, left=left, color=color, height=0.62, label=kind if row == 0 or not _seen(axes, kind) else None)
            left += width
        axes.text(left, row, f" {left:.2f} s", va="center")
    axes.set_yticks(range(len(sides)), list(sides))
    axes.invert_yaxis()
    axes.set_xlabel("seconds of CPU time a step, Model 4, batch 128")
    axes.margins(x=0.1)
    figure.legend(loc="lower center", ncols=3, frameon=False, bbox_to_anchor=(0.5, 0.0))
    figure.subplots_adjust(left=0.2, right=0.97, top=0.97, bottom=0.38)
    _save(figure, path)


def _seen(axes: Any, label: str) -> bool:
    return label in axes.get_legend_handles_labels()[1]


def scaling(by_batch: dict[int, list[float]], networks: list[dict[str, Any]], path: Path) -> None:
    """Images a second against batch size, and against multiply-adds."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8))
    _points(left, list(by_batch), list(by_batch.values()))
    left.set_xscale("log", base=2)
    left.set_xticks(list(by_batch), [str(batch) for batch in by_batch])
    left.set_ylim(bottom=0)
    left.set(xlabel="batch size", ylabel="images/s", title="Model 4")
    macs = [network["macs"] / 1e6 for network in networks]
    _points(right, macs, [network["rates"] for network in networks])
    for number, (x, network) in enumerate(zip(macs, networks, strict=True)):
        y = statistics.median(network["rates"])
        place = {"xytext": (-6, -9), "ha": "right"} if number % 2 else {"xytext": (6, 4)}  # neighbours lie close
        right.annotate(network["name"], (x, y), textcoords="offset points", fontsize=8, **place)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set(xlabel="multiply-adds of an image (millions)", ylabel="images/s", title="batch 128")
    right.margins(x=0.25, y=0.12)
    figure.tight_layout()
    _save(figure, path)


def _points(axes: Any, xs: list[float], rates: list[list[float]]) -> None:
    """Medians, with the least and the greatest round as bars."""
    middle = [statistics.median(found) for found in rates]
    spread = [[m - min(f) for m, f in zip(middle, rates, strict=True)], [max(f) - m for m, f in zip(middle, rates, strict=True)]]
    axes.errorbar(xs, middle, yerr=spread, marker="o", color=COLORS[0], capsize=3, linewidth=1)
    axes.grid(alpha=0.25)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(f"\n{path}")
