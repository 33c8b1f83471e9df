"""Charts of points: accuracy against a cost, two accuracies against each other, training beside test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_lit.reporting.charts import (
    INTERVAL,
    STEP,
    Chart,
    Column,
    Row,
    Spec,
    clipped,
    measured,
    names_axis,
    said,
    share_axis,
    tooltip,
)


def front(name: str, title: str, caption: str, rows: Sequence[Row], axis: str, across: str, *, log: bool, **about: Any) -> Chart:
    """Accuracy against a cost `x`: each cell, those of the Pareto front joined and with their intervals.

    rows: cell, x, mean, low, high, sd, n, front (bool), best (the same as a word).
    """
    columns = (Column("cell", "cell"), Column("x", across, "number"), *INTERVAL, Column("best", "on the front"))
    x: Spec = {"field": "x", "type": "quantitative", "title": across, "axis": {"format": "~s", "grid": False, "tickCount": 5}}
    x["scale"] = {"type": "log" if log else "linear", "zero": False, "nice": True, "padding": 12}
    tip = measured(*columns)
    y = {**share_axis("mean", axis), "scale": clipped([row["mean"] for row in rows], rows)}
    layers: list[Spec] = [
        {
            "transform": [{"filter": "datum.front"}],
            "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5, "strokeDash": [4, 3], "color": "@series2"},
            "encoding": {"y": y, "order": {"field": "x", "type": "quantitative"}},
        },
        {
            "transform": [{"filter": "datum.front"}],
            "mark": {"type": "rule", "strokeWidth": 1.5, "opacity": 0.5, "clip": True},
            "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": {"value": "@series2"}, "tooltip": tip},
        },
        _dots(y, tip, "!datum.front", size=60, color="@series1", opacity=0.8),
        _dots(y, tip, "datum.front", size=110, color="@series2", shape="diamond", opacity=1),
    ]
    spec = {"data": {"name": "rows"}, "transform": said(), "height": 260, "encoding": {"x": x}, "layer": layers}
    return Chart(name, title, caption, spec, tuple(rows), columns, **about)


def _dots(y: Spec, tip: list[Spec], which: str, **mark: Any) -> Spec:
    return {
        "transform": [{"filter": which}],
        "mark": {"type": "point", "filled": True, "stroke": "@surface", "strokeWidth": 1, **mark},
        "encoding": {"y": y, "tooltip": tip},
    }


def against(name: str, title: str, caption: str, rows: Sequence[Row], across: str, up: str, **about: Any) -> Chart:
    """Two accuracies of each run against each other, with the line on which they are equal. rows: cell, run, x, y."""
    columns = (
        Column("cell", "cell"),
        Column("run", "run"),
        Column("x", across, "share"),
        Column("y", up, "share"),
        Column("difference", "difference", "share"),
    )
    values = [row[key] for row in rows for key in ("x", "y")] or [0.0, 1.0]
    low, high = min(values), max(values)
    pad = (high - low) * 0.04 or 0.01
    ends = tuple({"x": value, "y": value} for value in (low - pad, high + pad))
    scale = {"domain": [low - pad, high + pad], "nice": False, "zero": False}
    layers: list[Spec] = [
        {"data": {"name": "ends"}, "mark": {"type": "line", "color": "@muted", "strokeDash": [4, 3], "strokeWidth": 1.2}},
        {
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.75, "color": "@series1"},
            "encoding": {"tooltip": tooltip(*columns)},
        },
    ]
    spec = {
        "data": {"name": "rows"},
        "height": 260,
        "encoding": {"x": {**share_axis("x", across), "scale": scale}, "y": {**share_axis("y", up), "scale": scale}},
        "layer": layers,
    }
    return Chart(name, title, caption, spec, tuple(rows), columns, (("ends", ends),), **about)


def gaps(name: str, title: str, caption: str, rows: Sequence[Row], **about: Any) -> Chart:
    """Training and test accuracy of each `label` joined by a bar, whose length is the generalisation gap.

    rows: label, train, test, gap, n.
    """
    columns = (
        Column("label", "cell"),
        Column("train", "training", "share"),
        Column("test", "test", "share"),
        Column("gap", "gap", "share"),
        Column("n", "runs", "count"),
    )
    y, tip = names_axis("label", len(rows)), tooltip(*columns)
    names = ["training accuracy", "test accuracy"]

    def dot(field: str, text: str, shape: str) -> Spec:
        colour: Spec = {"datum": text, "type": "nominal", "title": None}
        colour["scale"] = {"domain": names, "range": ["@series2", "@series1"]}
        colour["legend"] = {"symbolType": "circle", "symbolStrokeWidth": 0}
        mark = {"type": "point", "filled": True, "size": 75, "shape": shape, "opacity": 1, "stroke": "@surface", "strokeWidth": 1}
        return {"mark": mark, "encoding": {"x": share_axis(field, "accuracy"), "y": y, "color": colour, "tooltip": tip}}

    bar = {
        "mark": {"type": "rule", "strokeWidth": 4, "opacity": 0.35, "color": "@muted"},
        "encoding": {"x": share_axis("train", "accuracy"), "x2": {"field": "test"}, "y": y, "tooltip": tip},
    }
    layers = [bar, dot("train", names[0], "circle"), dot("test", names[1], "diamond")]
    return Chart(
        name,
        title,
        caption,
        {"data": {"name": "rows"}, "height": STEP * max(len(rows), 1), "layer": layers},
        tuple(rows),
        columns,
        **about,
    )
