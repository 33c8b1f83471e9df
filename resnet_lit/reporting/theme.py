"""The colours of the report, light and dark, and the looks of its charts.

A chart names a colour as `@ink` or `@series1`. In the page that becomes the CSS variable `var(--ink)`, so that dark mode and
print change every chart at once without drawing it again; in the figure files it becomes the light colour itself.
"""

from __future__ import annotations

from typing import Any

# name: (light, dark). Text has a contrast of at least 4.5 with the page and the surface that it stands on, in both.
COLOURS: dict[str, tuple[str, str]] = {
    "page": ("#f7f8fa", "#101317"),
    "surface": ("#ffffff", "#181c22"),
    "raised": ("#f0f3f7", "#222831"),
    "ink": ("#171c24", "#e9edf2"),
    "muted": ("#59636f", "#a3adb9"),
    "line": ("#d9dfe6", "#313943"),
    "grid": ("#e8ecf1", "#272e37"),
    "accent": ("#1d5fae", "#79b4f5"),
    "on-accent": ("#ffffff", "#0c1117"),
    "good": ("#1a6e44", "#62d196"),
    "good-soft": ("#e1f3e8", "#14301f"),
    "bad": ("#b3261e", "#ff968c"),
    "bad-soft": ("#fbe7e5", "#3a1a18"),
    "warn": ("#855400", "#f0c05a"),
    "warn-soft": ("#fcf1d9", "#352a11"),
    "series1": ("#1d5fae", "#79b4f5"),
    "series2": ("#c8550b", "#ff9f5e"),
    "series3": ("#1a7f5a", "#56d3a2"),
    "series4": ("#9c3587", "#ec96d6"),
    "series5": ("#806000", "#e5c651"),
    "series6": ("#5a4cc4", "#ada3ff"),
    "series7": ("#b3261e", "#ff8d84"),
    "series8": ("#2b7d92", "#7dd3e6"),
    "series9": ("#5f6670", "#c2c8d0"),
    "series10": ("#7b4a1e", "#dba878"),
}
SERIES = 10  # distinguishable colours; charts draw no more cells than that in one picture
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def css() -> str:
    """The colours as CSS variables: light, dark where the system asks for it, light on paper."""
    light, dark = (";".join(f"--{name}:{pair[which]}" for name, pair in COLOURS.items()) for which in (0, 1))
    return (
        f":root{{color-scheme:light;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{color-scheme:dark;{dark}}}}}\n"
    )


def for_page(spec: Any) -> Any:
    """A spec whose colours follow the page."""
    return _replaced(spec, {f"@{name}": f"var(--{name})" for name in COLOURS})


def for_file(spec: Any) -> Any:
    """A spec with the light colours themselves."""
    return _replaced(spec, {f"@{name}": pair[0] for name, pair in COLOURS.items()})


def _replaced(spec: Any, colours: dict[str, str]) -> Any:
    if isinstance(spec, dict):
        return {key: _replaced(value, colours) for key, value in spec.items()}
    if isinstance(spec, list | tuple):
        return [_replaced(value, colours) for value in spec]
    return colours.get(spec, spec) if isinstance(spec, str) else spec


CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None},
    "padding": 4,
    "axis": {
        "labelColor": "@muted",
        "titleColor": "@muted",
        "labelFontSize": 11,
        "titleFontSize": 11.5,
        "titleFontWeight": 500,
        "titlePadding": 8,
        "gridColor": "@grid",
        "domainColor": "@line",
        "tickColor": "@line",
        "tickSize": 4,
        "labelPadding": 5,
        "labelOverlap": True,
    },
    "axisY": {"domain": False, "ticks": False, "labelLimit": 240},
    "legend": {
        "labelColor": "@ink",
        "titleColor": "@muted",
        "labelFontSize": 11,
        "titleFontSize": 11.5,
        "titleFontWeight": 500,
        "orient": "top",
        "direction": "horizontal",
        "columns": 3,
        "labelLimit": 240,
        "symbolStrokeWidth": 2.5,
        "offset": 12,
        "rowPadding": 4,
        "columnPadding": 16,
    },
    "range": {"category": [f"@series{number + 1}" for number in range(SERIES)]},
    "text": {"color": "@ink", "fontSize": 11},
    "rule": {"color": "@muted"},
    "header": {"labelColor": "@ink", "titleColor": "@muted"},
}
