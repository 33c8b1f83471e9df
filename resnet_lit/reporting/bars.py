"""Charts of one set of answers: bars, and the reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_lit.reporting.charts import Chart, Column, Row, Spec, names_axis, share_axis, tooltip


def bars(name: str, title: str, caption: str, rows: Sequence[Row], columns: Sequence[Column], axis: str, **about: Any) -> Chart:
    """A bar for each `label`, `value` long, `text` at its end."""
    share = next(column.kind for column in columns if column.field == "value") == "share"
    x: Spec = (
        share_axis("value", axis, values=[0, 0.2, 0.4, 0.6, 0.8, 1])
        if share
        else {"field": "value", "type": "quantitative", "title": axis}
    )
    longest = max((row["value"] for row in rows), default=0) or 1
    text = 12 + 6.4 * max((len(row["text"]) for row in rows), default=0)  # pixels of the text at the end of the longest bar
    x["scale"] = {"domainMin": 0, "domainMax": {"expr": f"{longest} * width / max(width - {text:.0f}, width / 4)"}, "nice": False}
    y, tip = names_axis("label", 1), tooltip(*columns)
    layers: list[Spec] = [
        {
            "mark": {"type": "bar", "color": "@series1", "opacity": 0.85, "cornerRadiusEnd": 3, "height": {"band": 0.68}},
            "encoding": {"x": x, "y": y, "tooltip": tip},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 8, "color": "@ink"},
            "encoding": {"x": x, "y": y, "text": {"field": "text"}, "tooltip": tip},
        },
    ]
    return Chart(
        name,
        title,
        caption,
        {"data": {"name": "rows"}, "height": 26 * max(len(rows), 1), "layer": layers},
        tuple(rows),
        tuple(columns),
        **about,
    )


def reliability(name: str, title: str, caption: str, rows: Sequence[Row], **about: Any) -> Chart:
    """Accuracy of the answers of each confidence, beside the line of perfect calibration.

    rows: low, high, confidence, accuracy, count.
    """
    columns = (
        Column("low", "confidence from", "share"),
        Column("high", "to", "share"),
        Column("confidence", "mean confidence", "share"),
        Column("accuracy", "accuracy", "share"),
        Column("count", "images", "count"),
    )
    tip = tooltip(*columns)
    scale = {"domain": [0, 1], "nice": False}
    x: Spec = {"type": "quantitative", "title": "confidence", "axis": {"format": "~%", "grid": False}, "scale": scale}
    y: Spec = {"type": "quantitative", "title": "accuracy", "axis": {"format": "~%"}, "scale": scale}
    gap = {"condition": {"test": "datum.confidence > datum.accuracy", "value": "@series2"}, "value": "@series3"}
    layers: list[Spec] = [
        {
            "mark": {"type": "bar", "color": "@series1", "opacity": 0.75, "stroke": "@surface"},
            "encoding": {
                "x": {**x, "field": "low", "bin": "binned"},
                "x2": {"field": "high"},
                "y": {**y, "field": "accuracy"},
                "tooltip": tip,
            },
        },
        {
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": {
                "x": {**x, "field": "confidence"},
                "y": {**y, "field": "accuracy"},
                "y2": {"field": "confidence"},
                "color": gap,
                "tooltip": tip,
            },
        },
        {
            "data": {"name": "ends"},
            "mark": {"type": "line", "strokeDash": [4, 3], "color": "@muted", "strokeWidth": 1.2},
            "encoding": {"x": {**x, "field": "x"}, "y": {**y, "field": "x"}},
        },
    ]
    spec = {"data": {"name": "rows"}, "height": 280, "layer": layers}
    return Chart(name, title, caption, spec, tuple(rows), columns, (("ends", ({"x": 0}, {"x": 1})),), **about)
