"""Accuracy at a budget: test accuracy against the arithmetic of training, ours beside published numbers."""

from __future__ import annotations

from collections.abc import Sequence

from resnet_lit.reporting.cells import Section
from resnet_lit.reporting.charts import Chart, Column, Row, Spec, clipped, share_axis, tooltip
from resnet_lit.reporting.naming import names
from resnet_lit.reporting.published import PUBLISHED

VARIANT, TEST_IMAGES = "cifar10", 10_000
LIMIT = 5_000_000  # parameters
OURS, THEIRS = "measured here", "published"
SINGLE, SEVERAL = "the image alone", "mean of several views (TTA)"
# Each kind of TTA by itself: runs that differ in it are one cell, as it is no part of what is trained.
MEASURED = {"test/accuracy": SINGLE, "test/accuracy_tta/flip": SEVERAL, "test/accuracy_tta/6": SEVERAL}


def is_comparable(section: Section) -> bool:
    """Whether published numbers compare with a section: CIFAR-10 as published, all test images, full scale."""
    return section.variant == VARIANT and section.test_images == TEST_IMAGES and section.scale is None


def accuracy_at_a_budget(sections: Sequence[Section]) -> Chart | None:
    """The chart over all comparable sections; None where none of their runs has finished and says what it took."""
    rows: list[Row] = []
    for section in sections:
        if not is_comparable(section):
            continue
        label = names(section)
        for cell in section.measured:
            if cell.petaflops is None or cell.parameters > LIMIT:
                continue
            for metric, views in MEASURED.items():
                found = cell.summary(metric)
                if found is None:
                    continue
                ends = {} if found.low is None or found.high is None else {"low": found.low, "high": found.high}
                rows.append(
                    {
                        "name": label(cell),
                        "petaflops": cell.petaflops,
                        "mean": found.mean,
                        **ends,
                        "runs": str(found.n),
                        "views": views,
                        "whose": OURS,
                        "how": f"protocol={section.protocol}"
                        + (f", evaluation.tta={metric.rpartition('/')[2]}" if views == SEVERAL else ""),
                        "source": "",
                    }
                )
    if not rows:
        return None
    return _chart([*rows, *_published()])


def _published() -> list[Row]:
    return [
        {
            "name": one.name,
            "petaflops": one.petaflops,
            "mean": one.accuracy,
            "runs": "not stated" if one.runs is None else str(one.runs),
            "views": SINGLE if one.views == 1 else SEVERAL,
            "whose": THEIRS,
            "how": one.chosen + ("" if one.is_residual else ", no residual network"),
            "source": one.source,
        }
        for one in PUBLISHED
    ]


def _side(row: Row, rows: Sequence[Row]) -> str:
    """Where the name of a point has room: at its left where another point lies close at its right."""
    x, y = row["petaflops"], row["mean"]
    return "left" if any(x < other["petaflops"] < 4 * x and abs(other["mean"] - y) < 0.004 for other in rows) else "right"


def _names(y: Spec, side: str) -> Spec:
    mark = {"type": "text", "dy": -7, "fontSize": 11, "color": "@muted", "limit": 190}
    mark |= {"align": "right", "dx": -9} if side == "left" else {"align": "left", "dx": 9}
    return {"transform": [{"filter": f"datum.side == '{side}'"}], "mark": mark, "encoding": {"y": y, "text": {"field": "name"}}}


def _chart(rows: list[Row]) -> Chart:
    rows = [{**row, "side": _side(row, rows)} for row in rows]
    columns = (
        Column("name", "network and recipe"),
        Column("petaflops", "petaFLOPs", "number"),
        Column("mean", "test accuracy", "share"),
        Column("low", "95% from", "share"),
        Column("high", "95% to", "share"),
        Column("runs", "runs"),
        Column("views", "views"),
        Column("whose", "whose"),
        Column("how", "chosen"),
        Column("source", "source"),
    )
    x: Spec = {"field": "petaflops", "type": "quantitative", "title": "petaFLOPs of training (log)"}
    x |= {"scale": {"type": "log", "nice": True, "padding": 16}, "axis": {"format": "~g", "grid": False, "tickCount": 5}}
    y = {**share_axis("mean", "test accuracy"), "scale": clipped([row["mean"] for row in rows], rows)}
    colour: Spec = {"field": "whose", "type": "nominal", "title": None}
    colour["scale"] = {"domain": [OURS, THEIRS], "range": ["@series2", "@series1"]}
    shape: Spec = {"field": "views", "type": "nominal", "title": None}
    shape["scale"] = {"domain": [SINGLE, SEVERAL], "range": ["circle", "diamond"]}
    colour["legend"] = shape["legend"] = {"orient": "bottom", "direction": "vertical", "labelLimit": 0}
    layers: list[Spec] = [
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "strokeWidth": 1.5, "opacity": 0.6, "clip": True},
            "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90, "opacity": 0.9, "stroke": "@surface", "strokeWidth": 1},
            "encoding": {"y": y, "color": colour, "shape": shape, "tooltip": tooltip(*columns)},
        },
        *(_names(y, side) for side in ("left", "right")),
    ]
    caption = (
        "Test accuracy against the arithmetic of training, 6 x multiply-adds x images, on the original CIFAR-10 by networks of "
        f"at most {LIMIT:,} parameters trained from scratch. Bars are 95% intervals over seeds. A best test epoch is optimistic."
    )
    spec = {"data": {"name": "rows"}, "height": 320, "encoding": {"x": x}, "layer": layers}
    return Chart("budget", "Accuracy at a budget", caption, spec, tuple(rows), columns, wide=True)
