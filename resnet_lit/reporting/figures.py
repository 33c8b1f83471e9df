"""The charts as files, and the library that draws them in the page: vl-convert, which carries Vega-Lite and needs no browser."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from resnet_lit import record as records
from resnet_lit.data.paths import cache_folder
from resnet_lit.reporting import theme
from resnet_lit.reporting.charts import NEAR, Chart

WIDTH = 640  # pixels of a figure file
SCALE = 2.0  # of the PNG


@cache
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script for the page, about 0.9 MB.

    Bundling takes three seconds of a core, so the result is kept in the cache folder; where that cannot be, it is made anew.
    """
    kept = cache_folder(None) / f"vega-{metadata.version('vl-convert-python')}.js"
    with suppress(OSError, UnicodeDecodeError):
        head, _, text = kept.read_text(encoding="utf-8").partition("\n")
        if head == _mark(text):
            return text
    import vl_convert

    text = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        records.write_text(kept, f"{_mark(text)}\n{text}")
    return text


def _mark(text: str) -> str:
    """The first line of the kept file: shows one that was cut short."""
    return f"// sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def complete(chart: Chart) -> dict[str, Any]:
    """The whole Vega-Lite spec of a figure file: light colours, a title, its data."""
    names = {**theme.CONFIG["axisY"], "labelLimit": 0}  # whole ones: shortening one costs ten times as much as drawing it
    config = {**theme.CONFIG, "background": "@surface", "axisY": names}
    spec = {**chart.spec, "width": WIDTH, "config": config, "title": {"text": chart.title, "anchor": "start", "color": "@ink"}}
    if "layer" in spec:  # what only a pointer brings forth is left out: it would make a file ten times as large
        spec["layer"] = [layer for layer in spec["layer"] if all(param["name"] != NEAR for param in layer.get("params", ()))]
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
