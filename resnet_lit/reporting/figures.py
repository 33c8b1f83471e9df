"""The charts as files, and the library that draws them in the page: vl-convert, which carries Vega-Lite and needs no browser."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from resnet_lit.data.paths import cache_folder
from resnet_lit.durable import write_text
from resnet_lit.escaping import printable_data
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
        write_text(kept, f"{_mark(text)}\n{text}")
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
    return dict(printable_data({**theme.for_file(spec), "datasets": {name: list(rows) for name, rows in chart.data.items()}}))


def write(charts: Iterable[Chart], folder: Path) -> tuple[list[Path], list[str]]:
    """Write figures/<name>.svg and .png for every chart under `folder`: paths of the SVG files, and what could not be drawn."""
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    left = [(chart.title, figures / f"{chart.name}.svg", complete(chart)) for chart in charts]
    paths: list[Path] = []
    troubles: list[str] = []
    while left:
        answers = _draw(left)
        for (title, path, _), answer in zip(left, answers, strict=False):
            if answer == "drawn":
                paths.append(path)
            else:
                troubles.append(f"figures/{path.name} ({title}): not drawn ({answer.removeprefix('failed: ')})")
        left = left[len(answers) :]
    return paths, troubles


def _draw(figures: list[tuple[str, Path, dict[str, Any]]]) -> list[str]:
    """An answer for each figure, in order; where the drawing process died, the last one is of the figure that ended it."""
    orders = [json.dumps({"spec": spec, "path": str(path), "scale": SCALE}) for _, path, spec in figures]
    program = [sys.executable, "-m", "resnet_lit.reporting.drawing"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*sys.path]))}  # the same package as here
    drawn = subprocess.run(
        program, input="\n".join(orders) + "\n", capture_output=True, text=True, encoding="utf-8", env=environment, check=False
    )
    answers = drawn.stdout.splitlines()[: len(figures)]
    if len(answers) < len(figures):
        reason = signal.Signals(-drawn.returncode).name if drawn.returncode < 0 else f"status {drawn.returncode}"
        answers.append(f"failed: the drawing library ended with {reason}")
    return answers
