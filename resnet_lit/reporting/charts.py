"""Charts as Vega-Lite specs: plain data that a browser draws with tooltips and vl-convert draws to a file.

Every chart carries its numbers as rows with fixed field names (`cell`, `epoch`, `mean`, …): names from a run stand in the rows
only, never in a spec or an expression. Accuracies are in [0, 1] in the rows and in % on the axes. Vega-Lite 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Spec = dict[str, Any]
PERCENT = ".2%"
STEP = 24  # pixels of a name down the side
FEW = 4  # series whose bands may be strong
NEAR = "near"  # the parameter of a layer that shows the point nearest to the pointer


@dataclass(frozen=True)
class Column:
    """A column of the table under a chart. kind: text, share (a fraction shown in %), number, count."""

    field: str
    title: str
    kind: str = "text"


@dataclass(frozen=True)
class Chart:
    """One picture: a spec without data, and the rows that it names. `name` is its file's, unique in a report."""

    name: str
    title: str
    caption: str
    spec: Spec
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    more: tuple[tuple[str, tuple[Row, ...]], ...] = ()  # other rows that the spec names
    wide: bool = False  # takes the whole width of the page

    @property
    def data(self) -> dict[str, tuple[Row, ...]]:
        """Every data set of the spec by its name."""
        return {"rows": self.rows, **dict(self.more)}

    @property
    def label(self) -> str:
        """What a screen reader says of the picture."""
        return f"Chart: {self.title}. {self.caption} The numbers are in the table below it."


def tooltip(*columns: Column) -> list[Spec]:
    formats = {"share": PERCENT, "number": ".4~g", "count": ","}
    kinds = {"text": "nominal"}
    return [
        {
            "field": column.field,
            "type": kinds.get(column.kind, "quantitative"),
            "title": column.title,
            **({"format": formats[column.kind]} if column.kind in formats else {}),
        }
        for column in columns
    ]


def measured(*columns: Column) -> list[Spec]:
    """A tooltip of a mean with its spread: `said` gives its texts, as a single run has neither interval nor deviation."""
    plain = [column for column in columns if column.field not in ("low", "high", "sd")]
    texts: list[Spec] = [{"field": "interval", "type": "nominal", "title": "95% interval"}]
    if len(columns) - len(plain) > 2:
        texts.append({"field": "spread", "type": "nominal", "title": "standard deviation"})
    return [*tooltip(*plain), *texts]


def said(form: str = PERCENT) -> list[Spec]:
    """Transforms that write the interval and the deviation of a row as text."""
    ends = f"format(datum.low, '{form}') + ' to ' + format(datum.high, '{form}')"
    return [
        {"calculate": f"isValid(datum.low) ? {ends} : 'needs two runs'", "as": "interval"},
        {"calculate": f"isValid(datum.sd) ? format(datum.sd, '{form}') : 'needs two runs'", "as": "spread"},
    ]


def share_axis(field: str, title: str, **axis: Any) -> Spec:
    """An accuracy on a continuous axis, in %."""
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "axis": {"format": ".3~%", "tickCount": 6, **axis},
        "scale": {"zero": False, "nice": True, "padding": 6},
    }


def clipped(values: Sequence[float], rows: Sequence[Row]) -> Spec:
    """The scale of an axis of accuracies that shows `values`, and the intervals of `rows` where they need not much more room."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = max(0.4 * (high - low), 0.005)
    least = min([low, *(row["low"] for row in rows if "low" in row)])
    most = max([high, *(row["high"] for row in rows if "high" in row)])
    return {"domain": [max(0.0, low - room, least), min(1.0, high + room, most)], "nice": True, "zero": False, "padding": 6}


def names_axis(field: str, count: int) -> Spec:
    """Names down the left side, in the order of the rows."""
    return {"field": field, "type": "nominal", "sort": None, "title": None, "axis": {"grid": count > 1, "labelPadding": 8}}


def series(field: str, names: Sequence[str], title: str | None = None) -> Spec:
    """A colour for each name, in the order given, so that a name has one colour in all charts that are given the same names."""
    return {
        "field": field,
        "type": "nominal",
        "title": title,
        "scale": {"domain": list(names), "range": [f"@series{number % 10 + 1}" for number in range(len(names))]},
        "legend": {"symbolType": "stroke", "symbolOpacity": 1} if len(names) > 1 else None,
    }


INTERVAL = (
    Column("mean", "mean", "share"),
    Column("low", "95% from", "share"),
    Column("high", "95% to", "share"),
    Column("sd", "sd", "share"),
    Column("n", "runs", "count"),
)


POINTS = (
    Column("points", "difference, points", "number"),
    Column("low", "95% from", "number"),
    Column("high", "95% to", "number"),
)


def intervals(name: str, title: str, caption: str, rows: Sequence[Row], singles: Sequence[Row], axis: str, **about: Any) -> Chart:
    """Mean and 95% interval of every `label`, and each single run as a small mark.

    rows: label, mean, low, high, sd, n; singles: label, run, value.
    """
    columns = (Column("label", "cell"), *INTERVAL)
    y, tip = names_axis("label", len(rows)), measured(*columns)
    scale = clipped([row["value"] for row in singles] + [row["mean"] for row in rows if "mean" in row], rows)
    layers = [
        {
            "data": {"name": "singles"},
            "mark": {"type": "tick", "thickness": 1.5, "size": 9, "opacity": 0.55, "color": "@muted"},
            "encoding": {
                "x": {**share_axis("value", axis), "scale": scale},
                "y": y,
                "tooltip": tooltip(Column("label", "cell"), Column("run", "run"), Column("value", axis, "share")),
            },
        },
        {
            "mark": {"type": "rule", "strokeWidth": 2.5, "strokeCap": "round", "clip": True},
            "encoding": {
                "x": {**share_axis("low", axis), "scale": scale},
                "x2": {"field": "high"},
                "y": y,
                "tooltip": tip,
                "color": {"value": "@series1"},
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 75, "stroke": "@surface", "strokeWidth": 1.2, "opacity": 1},
            "encoding": {
                "x": {**share_axis("mean", axis), "scale": scale},
                "y": y,
                "tooltip": tip,
                "color": {"value": "@series1"},
            },
        },
    ]
    spec = {"data": {"name": "rows"}, "transform": said(), "height": STEP * max(len(rows), 1), "layer": layers}
    return Chart(name, title, caption, spec, tuple(rows), columns, (("singles", tuple(singles)),), **about)


def effects(name: str, title: str, caption: str, rows: Sequence[Row], **about: Any) -> Chart:
    """The effect of each value of each factor, in points of accuracy against the mean of all.

    rows: label, group (the factor: a colour), points, low, high, mean, cells, runs.
    """
    columns = (
        Column("label", "factor = value"),
        *POINTS,
        Column("mean", "mean accuracy", "share"),
        Column("cells", "cells", "count"),
        Column("runs", "runs", "count"),
    )
    colour = {**series("group", list(dict.fromkeys(row["group"] for row in rows))), "legend": None}
    spec = _around_zero(len(rows), columns, "effect on test accuracy, points", colour)
    return Chart(name, title, caption, spec, tuple(rows), columns, **about)


def differences(name: str, title: str, caption: str, rows: Sequence[Row], **about: Any) -> Chart:
    """Differences of two sides with their intervals, in points. rows: label, points, low, high, how."""
    columns = (Column("label", "metric"), *POINTS, Column("how", "how"))
    spec = _around_zero(len(rows), columns, "A minus B, points", {"value": "@series1"})
    return Chart(name, title, caption, spec, tuple(rows), columns, **about)


def _around_zero(count: int, columns: Sequence[Column], axis: str, colour: Spec) -> Spec:
    """Points with intervals about a line at zero, one row for each label."""
    y, tip = names_axis("label", count), measured(*columns)
    x: Spec = {"field": "points", "type": "quantitative", "title": axis, "axis": {"tickCount": 6}, "scale": {"padding": 8}}
    layers: list[Spec] = [
        {"mark": {"type": "rule", "color": "@muted", "strokeDash": [4, 3]}, "encoding": {"x": {"datum": 0}}},
        {
            "mark": {"type": "rule", "strokeWidth": 2.5, "strokeCap": "round"},
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "color": colour, "tooltip": tip},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 80, "stroke": "@surface", "strokeWidth": 1.2, "opacity": 1},
            "encoding": {"x": x, "y": y, "color": colour, "tooltip": tip},
        },
    ]
    return {"data": {"name": "rows"}, "transform": said("+.2f"), "height": STEP * max(count, 1), "layer": layers}


def heat_map(
    name: str, title: str, caption: str, rows: Sequence[Row], across: str, down: str, columns: Sequence[Column], **about: Any
) -> Chart:
    """A square for each pair `column`, `row`, the stronger the higher its `shade` in [0, 1]; `text` and `small` stand in it.

    `kind` of a row, where given, is `good` or `bad` and chooses the hue.
    """
    x: Spec = {"field": "column", "type": "nominal", "sort": None, "title": across}
    x["axis"] = {
        "orient": "top",
        "labelAngle": about.pop("angle", 0),
        "domain": False,
        "ticks": False,
        "labelLimit": 120,
        "labelOverlap": False,
    }
    y: Spec = {"field": "row", "type": "nominal", "sort": None, "title": down, "axis": {"domain": False, "ticks": False}}
    step, font = about.pop("step", 52), about.pop("font", 12)
    hue = {"condition": {"test": "datum.kind === 'bad'", "value": "@bad"}, "value": "@accent"}
    ink = {"value": "@ink"}  # the strongest square is half transparent: text reads on all of them
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "stroke": "@surface", "strokeWidth": 2, "cornerRadius": 4},
            "encoding": {
                "color": hue,
                "fillOpacity": {
                    "field": "shade",
                    "type": "quantitative",
                    "scale": {"domain": [0, 1], "range": [0.05, 0.52]},
                    "legend": None,
                },
                "tooltip": tooltip(*columns),
            },
        },
        {
            "mark": {
                "type": "text",
                "fontSize": font,
                "fontWeight": 600,
                "dy": -6 if any(row.get("small") for row in rows) else 0,
            },
            "encoding": {"text": {"field": "text"}, "color": ink},
        },
    ]
    if any(row.get("small") for row in rows):
        layers.append({"mark": {"type": "text", "fontSize": 10, "dy": 9}, "encoding": {"text": {"field": "small"}, "color": ink}})
    spec = {
        "data": {"name": "rows"},
        "height": step * max(len({row["row"] for row in rows}), 1),
        "encoding": {"x": x, "y": y},
        "layer": layers,
    }
    return Chart(name, title, caption, spec, tuple(rows), tuple(columns), **about)


def curves(
    name: str,
    title: str,
    caption: str,
    rows: Sequence[Row],
    names: Sequence[str],
    axis: str,
    *,
    share: bool,
    level: tuple[float, str] | None = None,
    **about: Any,
) -> Chart:
    """A line with its band against the epoch for each `cell`; `part` (training, validation, test) chooses the dash.

    rows: cell, part, epoch, mean, low, high, n. share: an accuracy, shown in %; else a loss. level: a value to draw across, and
    what it is.
    """
    kind = "share" if share else "number"
    columns = (
        Column("cell", "cell"),
        Column("part", "on"),
        Column("epoch", "epoch", "count"),
        Column("mean", "mean", kind),
        Column("low", "from", kind),
        Column("high", "to", kind),
        Column("n", "runs", "count"),
    )
    parts = list(dict.fromkeys(row["part"] for row in rows))
    y: Spec = share_axis("mean", axis) if share else {"field": "mean", "type": "quantitative", "title": axis}
    y["scale"] = {"zero": False, "nice": True}
    x: Spec = {
        "field": "epoch",
        "type": "quantitative",
        "title": "epoch",
        "axis": {"grid": False, "tickCount": min(8, max(len({row["epoch"] for row in rows}) - 1, 1)), "format": "d"},
    }
    x["scale"] = {"nice": False, "zero": False}
    colour = series("cell", names)
    dash: Spec = {"field": "part", "type": "nominal", "title": None, "sort": parts}
    dash["scale"] = {"domain": parts, "range": [[1, 0], [5, 3], [2, 2]][: len(parts)]}
    dash["legend"] = (
        {"symbolType": "stroke", "symbolStrokeColor": "@ink", "orient": "bottom", "offset": 6, "columns": 3}
        if len(parts) > 1
        else None
    )
    picked = {"condition": {"param": "picked", "value": 1}, "value": 0.1}
    layers: list[Spec] = [
        {
            "mark": {"type": "area"},
            "encoding": {
                "y": {**y, "field": "low"},
                "y2": {"field": "high"},
                "detail": [{"field": "part"}],
                "color": colour,
                "fillOpacity": {"condition": {"param": "picked", "value": 0.16 if len(names) <= FEW else 0.07}, "value": 0.02},
            },
        },
        {
            "params": [
                {
                    "name": "picked",
                    "select": {"type": "point", "fields": ["cell"]},
                    **({"bind": "legend"} if len(names) > 1 else {}),
                }
            ],
            "mark": {"type": "line", "strokeWidth": 1.8},
            "encoding": {"y": y, "color": colour, "strokeDash": dash, "strokeOpacity": picked},
        },
        {
            "params": [{"name": NEAR, "select": {"type": "point", "on": "pointerover", "clear": "pointerout", "nearest": True}}],
            "mark": {"type": "point", "filled": True, "size": 60},
            "encoding": {
                "y": y,
                "color": colour,
                "opacity": {"condition": {"param": NEAR, "empty": False, "value": 1}, "value": 0},
                "tooltip": tooltip(*columns),
            },
        },
    ]
    if level is not None:
        layers += _across(level[0], left=share)
    spec = {"data": {"name": "rows"}, "height": 260, "encoding": {"x": x}, "layer": layers}
    more = (("level", ({"value": level[0], "text": level[1]},)),) if level else ()
    return Chart(name, title, caption, spec, tuple(rows), columns, more, **about)


def _across(value: float, *, left: bool) -> list[Spec]:
    """A line across a chart of curves at one value, and its text at the end where there are no curves in its way."""
    data, y = {"name": "level"}, {"datum": value}
    rule = {"type": "rule", "strokeDash": [1, 3], "strokeWidth": 1.6, "color": "@series2"}
    text = {"type": "text", "baseline": "bottom", "dy": -4, "dx": 4 if left else 0, "color": "@series2", "fontWeight": 600}
    text["align"] = "left" if left else "right"
    right = {"value": {"expr": "width"}}
    end = {"value": 0} if left else right
    return [
        {"data": data, "mark": rule, "encoding": {"x": {"value": 0}, "x2": right, "y": y}},
        {"data": data, "mark": text, "encoding": {"x": end, "y": y, "text": {"field": "text"}}},
    ]
