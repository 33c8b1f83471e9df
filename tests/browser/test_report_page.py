"""The report in a real browser: charts drawn, no request, usable at any width, in dark, by keyboard and in print."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from made_runs import make_mixed, make_paper_run, make_run

from resnet_lit.reporting import page as pages
from resnet_lit.reporting.build import build

HOSTILE = "<img onerror=a>"
DRAWN = "document.documentElement.dataset.charts === 'drawn'"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sweep(browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep of 2 x 2 cells, a failed run, two runs of the paper's grid, and a name that would do harm."""
    folder = tmp_path_factory.mktemp("sweep")
    for batch in (32, 64):
        for optimizer in ("sgd", HOSTILE):
            for seed in (0, 1):
                values = {
                    "data.batch_size": batch,
                    "optimizer.name": optimizer,
                    "optimizer.lr": 0.1 if optimizer == "sgd" else 0.2,
                }
                accuracy = 0.8 + batch / 1e3 + 0.004 * seed
                make_run(folder / f"{batch}-{len(optimizer)}-{seed}", values, seed=seed, accuracy=accuracy, epochs=4)
    make_run(folder / "failed", {"data.batch_size": 32, "optimizer.name": "sgd", "optimizer.lr": 0.1}, seed=2, status="failed")
    for seed in (0, 1):
        make_paper_run(folder / f"paper-{seed}", "model4_sgd_momentum", seed=seed, accuracy=0.95, epochs=4)
    return pages.write(build([folder], command="as typed"), folder / "report")[0]


@pytest.fixture(scope="module")
def single(browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single")
    make_run(folder / "run", accuracy=0.9, outputs=True, epochs=4)
    return pages.write(build([folder], command="as typed"), folder / "report")[0]


@pytest.fixture(scope="module")
def mixed(browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 14 runs of many kinds."""
    folder = make_mixed(tmp_path_factory.mktemp("mixed"))
    return pages.write(build([folder], command="as typed"), folder / "report").page


def opened(page, path: Path):
    page.goto(path.as_uri())
    page.wait_for_function(DRAWN)
    return page


@pytest.mark.parametrize("which", ["sweep", "single"])
def test_every_chart_is_drawn_and_nothing_goes_wrong(page, complaints, which, request) -> None:
    asked: list[str] = []
    page.on("request", lambda found: asked.append(found.url))
    path = request.getfixturevalue(which)
    opened(page, path)
    drawn = page.eval_on_selector_all(
        "figure.chart", "all => all.map(f => [f.id, f.querySelectorAll('.drawing svg [class*=mark-] path, svg text').length])"
    )
    assert len(drawn) >= 5
    assert all(marks > 5 for _, marks in drawn), drawn
    assert page.locator("figure.chart[data-drawn=no]").count() == 0
    assert complaints == []
    assert {url for url in asked if not url.startswith("data:")} == {path.as_uri()}


def test_a_name_that_would_do_harm_is_text(page, complaints, sweep) -> None:
    opened(page, sweep)
    assert page.title() == "What 11 runs show"
    assert page.locator("main img").count() == 0
    assert page.locator("#chart-cells, [id$=cells]").first.get_by_text("onerror").count() > 0
    point = page.locator("figure[id$=-cells] .drawing svg path[aria-roledescription=point][aria-label*=onerror]").first
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "onerror" in tooltip.inner_text()
    assert tooltip.locator("img").count() == 0
    assert complaints == []


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_its_window_in_both_schemes(page, complaints, sweep, width, scheme) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    opened(page, sweep)
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # wide tables scroll in their own boxes
    wide = page.eval_on_selector_all(
        ".drawing svg",
        "all => all.filter(s => s.getBoundingClientRect().right > s.parentElement.getBoundingClientRect().right + 1).length",
    )
    assert wide == 0
    ground, ink = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    assert (brightness(ground) > brightness(ink)) == (scheme == "light")
    label = page.locator("figure.chart svg .role-axis-label text").first.evaluate("text => getComputedStyle(text).fill")
    assert abs(brightness(label) - brightness(ground)) > 60  # the charts follow the scheme
    assert complaints == []


def test_on_a_phone_the_number_is_beside_the_name_and_clipped_columns_are_announced(page, complaints, mixed) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    opened(page, mixed)
    box = page.locator(".box").first
    right = box.evaluate("box => box.getBoundingClientRect().right")
    number = box.locator("tbody tr").first.locator("td").first
    assert "93.31" in number.inner_text()
    assert number.evaluate("cell => cell.getBoundingClientRect().right") < right
    hint = page.locator(".box + .hint").first
    assert "more columns: scroll the table" in hint.inner_text()
    box.evaluate("box => box.scrollTo(1e6, 0)")
    hint.wait_for(state="hidden")
    name = box.locator("tbody th").first  # stays where it is
    assert name.evaluate("cell => cell.getBoundingClientRect().left") >= 0
    assert complaints == []


def test_on_a_desk_every_name_is_one_line(page, mixed) -> None:
    opened(page, mixed)
    heights = page.eval_on_selector_all(
        ".box:has(.best) tbody th.first", "all => all.map(cell => cell.getBoundingClientRect().height)"
    )
    assert len(heights) >= 8
    assert max(heights) < 45


def test_what_is_folded_is_drawn_when_it_is_opened(page, complaints, mixed) -> None:
    report = build([mixed.parent.parent], compared=("lr=0.05", "adam · lr=0.001"))
    opened(page, pages.write(report, mixed.parent.parent / "compared").page)
    folded = page.locator("details.folded").first
    assert folded.locator("figure.chart[data-drawn]").count() == 0
    folded.locator("> summary").click()
    folded.locator("figure.chart[data-drawn=yes]").first.wait_for()
    assert complaints == []


def brightness(colour: str) -> float:
    """Mean of red, green and blue of `rgb(r, g, b)`."""
    parts = [float(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    return sum(parts) / 3


def test_it_is_used_by_keyboard(page, complaints, sweep) -> None:
    opened(page, sweep)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    heads = page.locator("section table.sortable").first.locator("thead th")
    button = heads.nth(1).locator("button")
    button.focus()
    page.keyboard.press("Enter")
    assert heads.nth(1).get_attribute("aria-sort") == "ascending"
    column = "rows => rows.map(row => Number(row.cells[1].dataset.v))"
    values = page.locator("section table.sortable").first.locator("tbody tr").evaluate_all(column)
    assert values == sorted(values)
    page.keyboard.press("Enter")
    assert heads.nth(1).get_attribute("aria-sort") == "descending"
    details = page.locator("figure.chart details.data").first
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    details.locator("tbody tr").first.wait_for()
    assert details.locator("tbody tr").count() > 1
    assert complaints == []


def test_it_is_read_without_seeing_it(page, sweep) -> None:
    opened(page, sweep)
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in itertools.pairwise(levels))  # no level is left out
    unnamed = page.eval_on_selector_all(".drawing, .box", "all => all.filter(e => !e.getAttribute('aria-label')).length")
    assert unnamed == 0
    broken = page.eval_on_selector_all(
        "nav a", "all => all.filter(a => !document.getElementById(a.hash.slice(1))).map(a => a.hash)"
    )
    assert broken == []
    words = page.locator(".word").first.evaluate("word => getComputedStyle(word, '::before').content + word.textContent")
    assert words.startswith('"')  # a sign and a word, not colour alone
    assert len(words) > 8


def test_it_prints_light_whole_and_without_what_is_for_the_screen(page, complaints, sweep) -> None:
    page.emulate_media(color_scheme="dark")
    opened(page, sweep)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("nav.contents").is_hidden()
    ground, ink = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    assert brightness(ground) > 200 > 100 > brightness(ink)
    label = page.locator("figure.chart svg .role-axis-label text").first.evaluate("text => getComputedStyle(text).fill")
    assert brightness(label) < 150
    clipped = page.eval_on_selector_all(".box", "all => all.filter(b => getComputedStyle(b).overflowY !== 'visible').length")
    assert clipped == 0
    assert page.pdf()[:5] == b"%PDF-"
    assert complaints == []


def test_one_run_shows_its_mistakes_as_pictures(page, complaints, single) -> None:
    opened(page, single)
    sizes = page.eval_on_selector_all("#mistakes ~ ul.mistakes img", "all => all.map(image => image.naturalWidth)")
    assert sizes == [32] * 8
    assert page.locator("#chart-confusion svg .mark-rect path").count() == 100
    assert complaints == []
