"""Charts: every kind is a valid spec, names stand in the rows alone, and the colours can be read."""

from __future__ import annotations

import json
import math
import re

import pytest

from resnet_lit.reporting import bars, charts, figures, scatters, theme
from resnet_lit.reporting.charts import Chart, Column

HOSTILE = "<script>alert(1)</script>'\"]; datum\x07\ufffe\udcff"  # the last three end the library that draws, or UTF-8
RUN = {"mean": 0.9, "low": 0.89, "high": 0.91, "sd": 0.004, "n": 3}


def every() -> list[Chart]:
    """One chart of each kind, with a name that would do harm in a spec, and with a cell of a single run."""
    single = {"mean": 0.8, "n": 1}
    cells = [{"label": HOSTILE, **RUN}, {"label": "b", **single}]
    epochs = [
        {"cell": HOSTILE, "part": part, "epoch": epoch, "mean": 0.1 * epoch, "low": 0.1, "high": 0.5, "n": 2}
        for part in ("test", "training")
        for epoch in (1, 2, 3)
    ]
    effects = [
        {"label": f"{HOSTILE} = 1", "group": HOSTILE, "points": 0.5, "low": 0.1, "high": 0.9, "mean": 0.9, "cells": 2, "runs": 6},
        {"label": "b = 1", "group": "b", "points": -0.5, "mean": 0.8, "cells": 1, "runs": 1},
    ]
    grid = [{"row": HOSTILE, "column": "1", "shade": 0.5, "text": "90.00", "small": "n=3", "mean": 0.9, "n": 3}]
    costs = [{"cell": HOSTILE, "x": 1e6, "front": True, **RUN}, {"cell": "b", "x": 1e7, "front": False, **single}]
    pairs = [{"cell": HOSTILE, "run": "seed 0", "x": 0.9, "y": 0.91, "difference": 0.01}]
    gap = [{"label": HOSTILE, "train": 0.99, "test": 0.9, "gap": 0.09, "n": 3}]
    bar = [{"label": HOSTILE, "value": 0.5, "text": "50 %"}]
    bins = [{"low": 0.9, "high": 1.0, "confidence": 0.95, "accuracy": 0.9, "count": 10}]
    about = ("title", "caption")
    return [
        charts.intervals("a", *about, cells, [{"label": HOSTILE, "run": "seed 0", "value": 0.9}], "test accuracy"),
        charts.effects("b", *about, effects),
        charts.differences("c", *about, [{"label": "gap", "points": 0.5, "how": "paired t"}]),
        charts.heat_map("d", *about, grid, "across", "down", [Column("row", "down")]),
        charts.curves("e", *about, epochs, [HOSTILE], "accuracy", share=True, level=(0.9, "paper 90 %")),
        scatters.gaps("f", *about, gap),
        scatters.front("g", *about, costs, "test accuracy", "parameters", log=True),
        scatters.against("h", *about, pairs, "last", "chosen"),
        bars.bars("i", *about, bar, [Column("value", "accuracy", "share")], "accuracy"),
        bars.reliability("j", *about, bins),
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("figures")
    paths, troubles = figures.write(every(), folder)
    assert troubles == []
    return {path.stem: path for path in paths}


def test_every_kind_is_drawn_as_svg_and_png(written) -> None:
    assert len(written) == len(every())
    for path in written.values():
        picture = path.read_text()
        assert picture.count('class="mark-') >= 3, path.name  # an axis and marks at least
        assert "NaN" not in picture
        assert "@" not in picture  # no colour that stands for another
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_name_from_a_run_is_text_in_a_picture(written) -> None:
    for name in "abdfi":
        picture = written[name].read_text()
        assert "<script" not in picture
        assert "&lt;script&gt;" in picture


def test_a_figure_that_ends_the_library_is_named_and_the_others_are_drawn(tmp_path, monkeypatch) -> None:
    complete = figures.complete
    harmful = {"mark": "bar", "data": {"values": [{"a": "\x07"}]}, "encoding": {"y": {"field": "a", "type": "nominal"}}}
    monkeypatch.setattr(figures, "complete", lambda chart: harmful if chart.name == "b" else complete(chart))
    paths, (trouble,) = figures.write(every()[:3], tmp_path)
    assert [path.stem for path in paths] == ["a", "c"]
    assert trouble == "figures/b.svg (title): not drawn (the drawing library ended with SIGABRT)"
    assert not (tmp_path / "figures" / "b.png").exists()


def test_names_from_runs_stand_in_no_spec() -> None:
    for chart in every():
        spec = json.dumps(chart.spec)
        if chart.name in "be":  # their colours are given by name: as data, in no expression
            expressions = re.findall(r'"(?:test|filter|expr)": "([^"]*)"', spec)
            assert not any("script" in expression for expression in expressions)
        else:
            assert "script" not in spec


def test_a_page_has_the_colours_as_variables_and_a_file_as_they_are() -> None:
    spec = every()[0].spec
    assert "var(--series1)" in json.dumps(theme.for_page(spec))
    assert theme.COLOURS["series1"][0] in json.dumps(theme.for_file(spec))
    for finished in (theme.for_page(theme.CONFIG), theme.for_file(theme.CONFIG)):
        assert '"@' not in json.dumps(finished)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_has_contrast(mode: int) -> None:
    colour = {name: pair[mode] for name, pair in theme.COLOURS.items()}
    pairs = [(text, ground) for text in ("ink", "muted", "accent") for ground in ("page", "surface", "raised")]
    pairs += [("on-accent", "accent"), *((name, f"{name}-soft") for name in ("good", "bad", "warn"))]
    for text, ground in pairs:
        assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
    for number in range(theme.SERIES):
        assert contrast(colour[f"series{number + 1}"], colour["surface"]) >= 3, number  # lines and marks


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, WCAG 2."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else math.pow((part + 0.055) / 1.055, 2.4) for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
