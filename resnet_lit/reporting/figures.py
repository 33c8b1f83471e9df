"""The charts as files, and the library that draws them in the page: vl-convert, which carries Vega-Lite and needs no browser."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from resnet_lit.reporting import theme
from resnet_lit.reporting.charts import Chart

WIDTH = 640  # pixels of a figure file
SCALE = 2.0  # of the PNG


@cache
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script for the page: about 0.9 MB."""
    import vl_convert

    return str(vl_convert.javascript_bundle())


def complete(chart: Chart) -> dict[str, Any]:
    """The whole Vega-Lite spec of a figure file: light colours, a title, its data."""
    config = {**theme.CONFIG, "background": "@surface"}
    spec = {**chart.spec, "width": WIDTH, "config": config, "title": {"text": chart.title, "anchor": "start", "color": "@ink"}}
    return {**theme.for_file(spec), "datasets": {name: list(rows) for name, rows in chart.data.items()}}


def write(charts: Iterable[Chart], folder: Path) -> list[Path]:
    """Write figures/<name>.svg and .png for every chart under `folder`. Returns the paths of the SVG files."""
    import vl_convert

    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    paths = []
    for chart in charts:
        picture = vl_convert.vegalite_to_svg(complete(chart))
        path = figures / f"{chart.name}.svg"
        path.write_text(picture)
        path.with_suffix(".png").write_bytes(vl_convert.svg_to_png(picture, scale=SCALE))
        paths.append(path)
    return paths
