"""TensorBoard as a user sees it: a real server on two runs, one of which it saw fail and go on, in a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests_support import ROOT, TINY, wait_for

from resnet_lit.config import load
from resnet_lit.run import run

pytestmark = pytest.mark.slow

NAMES = ("digits first seed=0", "digits second seed=1")
WORDS = {
    NAMES[0]: (*TINY, "label=first"),
    NAMES[1]: (*TINY, "label=second", "optimizer=adam", "data.batch_size=32", "model.dropout=0.25", "seed=1"),
}
RESULTS = ("test/accuracy", "test/accuracy_last", "test/loss", "val/accuracy", "train/accuracy")


@dataclass
class Board:
    """A server, its address, and the metrics of the runs that it shows, by name."""

    url: str
    metrics: dict[str, dict[str, float]]

    def scalars(self, name: str, tag: str) -> list[tuple[int, float]]:
        """What the server knows of a tag: (step, value)."""
        query = urllib.parse.urlencode({"run": name, "tag": tag})
        try:
            with urllib.request.urlopen(f"{self.url}data/plugin/scalars/scalars?{query}", timeout=60) as answer:
                return [(step, value) for _, step, value in json.load(answer)]
        except urllib.error.HTTPError:  # not yet
            return []


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, browser: object) -> Iterator[Board]:
    """The server is started when the first run has failed in its second epoch; what comes then, it has to notice."""
    from resnet_lit.callbacks.progress import ShowProgress

    class Stop(Exception):
        pass

    def stop(self: object, trainer: Any, *_: object) -> None:
        if trainer.current_epoch == 1:
            raise Stop

    folder = tmp_path_factory.mktemp("board")
    first, second = (load(*WORDS[name]) for name in NAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with pytest.MonkeyPatch.context() as ill:
            ill.setattr(ShowProgress, "on_train_epoch_end", stop)
            assert run(first)["status"] == "failed"
        with _serving(folder) as url:
            shown = Board(url, {})
            wait_for(lambda: shown.scalars(NAMES[0], "train/loss"))
            shown.metrics.update({name: run(config)["metrics"] for name, config in zip(NAMES, (first, second), strict=True)})
            wait_for(lambda: all(shown.scalars(name, "result/test/accuracy") for name in NAMES))
            yield shown


class _serving:
    """`python -m resnet_lit.board` in a folder; its address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        words = [sys.executable, "-m", "resnet_lit.board", "--port=0", "--reload_interval=1"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._server = subprocess.Popen(words, cwd=self._folder, stderr=subprocess.PIPE, text=True, env=environment)
        assert self._server.stderr is not None
        return next(found[0] for line in self._server.stderr if (found := re.search(r"http://\S+", line)))

    def __exit__(self, *_: object) -> None:
        self._server.send_signal(signal.SIGTERM)
        self._server.communicate(timeout=60)


def opened(page: Any, board: Board, tab: str, width: int = 1400, height: int = 2000) -> Any:
    """The page of a plugin. High enough that everything is drawn: TensorBoard draws what is in view."""
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{board.url}#{tab}")
    return page


def test_server_has_each_step_once_after_a_run_went_on(board: Board) -> None:
    assert [step for step, _ in board.scalars(NAMES[0], "val/accuracy")] == [3, 6]
    assert [step for step, _ in board.scalars(NAMES[1], "val/accuracy")] == [6, 12]
    for name in NAMES:
        assert board.scalars(name, "result/test/accuracy")[0][1] == pytest.approx(board.metrics[name]["test/accuracy"])


def test_time_series_shows_both_runs_by_name(board: Board, page: Any, complaints: list[str]) -> None:
    opened(page, board, "timeseries")
    page.locator("runs-data-table").get_by_text(NAMES[1]).wait_for()
    assert page.locator("runs-data-table").get_by_text(NAMES[0]).is_visible()
    assert page.title() == "outputs"
    page.locator("input[placeholder='Filter tags (regex)']").fill("^val/accuracy$")
    card = page.locator("scalar-card").filter(has_text=re.compile(r"^\s*val/accuracy"))
    for name in NAMES:  # in the table below the chart, whose lines are drawn on a canvas
        card.get_by_text(name).first.wait_for()
    assert complaints == []


def test_custom_scalars_put_training_and_evaluation_on_one_chart(board: Board, page: Any, complaints: list[str]) -> None:
    opened(page, board, "custom_scalars")
    charts = page.locator("tf-custom-scalar-multi-line-chart-card")
    charts.nth(1).get_by_text("loss", exact=True).wait_for()
    charts.nth(0).get_by_text("accuracy", exact=True).wait_for()
    assert charts.count() == 2
    for number, metric in enumerate(("accuracy", "loss")):
        chart = charts.nth(number)
        # a run of two epochs has two points of training and evaluation, that is a line, and one of the test
        wait_for(lambda chart=chart: chart.locator("path.line[d*=L]").count() >= 2 * len(NAMES))
        chart.get_by_text("Matches (6)").click()
        for tag in (f"train/{metric}_epoch", f"val/{metric}", f"test/{metric}"):
            assert chart.get_by_text(tag).count() == len(NAMES)
    assert complaints == []


def test_hparams_compares_the_runs(board: Board, page: Any, complaints: list[str]) -> None:
    opened(page, board, "hparams", width=2600)
    page.locator("vaadin-grid-cell-content").get_by_text(NAMES[1]).wait_for()
    cells = [text.strip() for text in page.locator("vaadin-grid-cell-content").all_inner_texts() if text.strip()]
    columns = ["batch_size", "dropout", "model", "optimizer", "seed"]
    metrics = ["test accuracy", "test accuracy last", "test loss", "val accuracy", "train accuracy"]
    assert cells[:12] == ["Trial ID", "Show Metrics", *columns, *metrics]
    expected = {NAMES[0]: ["64", "0", "model4", "sgd_momentum", "0"], NAMES[1]: ["32", "0.25", "model4", "adam", "1"]}
    for name in NAMES:
        row = cells[cells.index(name) + 1 :][: len(columns) + len(metrics)]
        assert [_plain(text) for text in row[: len(columns)]] == expected[name]
        for shown, result in zip(row[len(columns) :], RESULTS, strict=True):
            assert float(shown) == pytest.approx(board.metrics[name][result], rel=1e-3)
    assert "hp_metric" not in page.content()
    assert complaints == []


def _plain(text: str) -> str:
    """TensorBoard gives numbers five digits: 64.000."""
    return f"{float(text):g}" if re.fullmatch(r"[\d.]+", text) else text


def test_images_are_three_a_run_and_not_shrunk(board: Board, page: Any, complaints: list[str]) -> None:
    opened(page, board, "images")
    pictures = page.locator("tf-image-loader img")
    wait_for(lambda: pictures.count() == 3 * len(NAMES))
    for tag in ("images/augmented", "images/mistakes", "images/confusion_matrix"):
        assert page.locator("tf-image-loader").get_by_text(f"tag: {tag}").count() == len(NAMES)
    wait_for(lambda: pictures.evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)"))
    sizes = pictures.evaluate_all("all => all.map(one => [one.naturalWidth, one.width])")
    assert all(own <= shown for own, shown in sizes), sizes  # a picture made smaller loses its text
    assert complaints == []
