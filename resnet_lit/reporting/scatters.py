"""Charts of points in a plane: accuracy against a cost, and two accuracies against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_lit.reporting.charts import INTERVAL, Chart, Column, Row, Spec, clipped, measured, said, share_axis, tooltip


def front(name: str, title: str, caption: str, rows: Sequence[Row], axis: str, across: str, *, log: bool, **about: Any) -> Chart:
    """Accuracy against a cost `x`: each cell with its interval, the Pareto front joined.

    rows: cell, x, mean, low, high, sd, n, front (bool), best (the same as a word).
    """
    columns = (Column("cell", "cell"), Column("x", across, "number"), *INTERVAL, Column("best", "on the front"))
    x: Spec = {"field": "x", "type": "quantitative", "title": across, "axis": {"format": "~s", "grid": False, "tickCount": 5}}
    x["scale"] = {"type": "log" if log else "linear", "zero": False, "nice": True, "padding": 12}
    on = {"condition": {"test": "datum.front", "value": "@series2"}, "value": "@series1"}
    tip = measured(*columns)
    y = {**share_axis("mean", axis), "scale": clipped([row["mean"] for row in rows])}
    layers: list[Spec] = [
        {
            "transform": [{"filter": "datum.front"}],
            "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5, "strokeDash": [4, 3], "color": "@series2"},
            "encoding": {"y": y, "order": {"field": "x", "type": "quantitative"}},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 1.5, "opacity": 0.5, "clip": True},
            "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": on, "tooltip": tip},
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
