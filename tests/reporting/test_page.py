"""The page of the report as a file: what stands in it, escaped, capped and without a request to the network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_runs import CLASSES, make_paper_run, make_run

from resnet_lit.record import read, write
from resnet_lit.reporting import figures, markdown, page
from resnet_lit.reporting.answers import Answers
from resnet_lit.reporting.build import build

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def _without_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No library in the page and no figure files: they take seconds."""
    monkeypatch.setattr(figures, "library", lambda: "")
    monkeypatch.setattr(figures, "write", lambda charts, folder: ([folder / f"figures/{chart.name}.svg" for chart in charts], []))


pytestmark = pytest.mark.usefixtures("_without_drawing")


def written(runs: Path, **options) -> str:
    return page.write(build([runs], command="as typed", **options), runs / "report")[0].read_text()


def charts_of(text: str) -> dict[str, dict]:
    found = re.findall(r'id="chart-([^"]+)">.*?<script type="application/json">(.*?)</script>', text, re.DOTALL)
    return {name: json.loads(data) for name, data in found}


def grid(folder: Path, **options) -> None:
    for batch in (32, 64):
        for optimizer in ("sgd", "adam"):
            for seed in (0, 1):
                accuracy = 0.9 + batch / 1e4 + 0.002 * seed
                values = {
                    "data.batch_size": batch,
                    "optimizer.name": optimizer,
                    "optimizer.lr": 0.1 if optimizer == "sgd" else 0.001,
                }
                make_run(folder / f"{batch}-{optimizer}-{seed}", values, seed=seed, accuracy=accuracy, **options)


def test_a_sweep_has_its_table_and_its_charts(tmp_path) -> None:
    grid(tmp_path)
    text = written(tmp_path)
    drawn = charts_of(text)
    assert {"cells", "effects", "curves-accuracy", "curves-loss", "gap"} <= drawn.keys()
    assert "final-best" not in drawn  # the last epoch is the chosen one in every run
    assert any(name.startswith("grid-") for name in drawn)  # the heat map of the two factors
    assert drawn["cells"]["tables"]["rows"]["label"][0] == "adam · batch_size=64"
    assert "90.74 <small>± 0.14</small>" in text  # mean and standard deviation of 0.9064 and 0.9084
    assert "Published CIFAR-10 numbers do not compare with cifar10-jpeg" in text
    for chart in drawn.values():
        lengths = {len(column) for column in chart["tables"]["rows"].values()}
        assert len(lengths) == 1


def test_several_views_have_columns_of_their_own(tmp_path) -> None:
    for seed, (tta, accuracy) in enumerate((("flip", 0.9561), ("flip", 0.9563), (6, 0.9712), (None, None))):
        folder = make_run(tmp_path / str(seed), seed=seed, accuracy=0.94)
        record = read(folder)
        more = {} if tta is None else {"test/accuracy_tta": accuracy}
        write(folder, {**record, "tta": tta, "metrics": {**record["metrics"], **more}})
    text = re.sub(r"<small>.*?</small>", "", written(tmp_path))
    head = re.findall(r"<th[^>]*>([^<]*)</th>", text)
    assert head[head.index("95% interval") + 1 :][:2] == ["test with TTA (6)", "test with TTA (flip)"]
    row = re.findall(r'<td class="num" data-v="[^"]*">([^<]*)</td>', text)
    assert [entry.strip() for entry in row[:4]] == ["94.00", "94.00 to 94.00", "97.12", "95.62"]
    table = markdown.write(build([tmp_path]), tmp_path / "report").read_text()
    assert "with TTA: flip (%)" in table
    make_run(tmp_path / "plain" / "run")
    assert "TTA" not in written(tmp_path / "plain")


def test_the_paper_is_one_line_that_unfolds_where_nothing_repeats_it(tmp_path) -> None:
    make_run(tmp_path / "run", {"name": "digits"}, variant="digits")
    text = written(tmp_path)
    assert "none of its 200 numbers is measured" in text
    assert text.count("not measured") == 0
    before, folded = text.split('<details class="more folded">')
    assert "Figure 6" not in before
    assert "What does not add up" in folded


def test_the_paper_is_whole_where_a_run_repeats_a_cell_of_it(tmp_path) -> None:
    make_paper_run(tmp_path / "run", "model4_sgd_momentum")
    text = written(tmp_path)
    for name in ("Figure 1:", "Figure 4:", "Figure 5", "Figure 6", "Figure 11", "Figure 12", "93.15%"):
        assert name in text
    assert text.count('id="audit-') - text.count('id="audit-title"') == 8
    assert 'class="word none">not measured<' in text
    assert text.count(" test accuracy</h4>") == 2  # the table of model 4's rows, and that of regularisation
    assert "none of its" not in text


def test_the_papers_figures_are_drawn_from_runs_that_repeat_them(tmp_path) -> None:
    for seed in (0, 1):
        make_paper_run(tmp_path / str(seed), "model4_sgd_momentum", seed=seed, accuracy=0.951)
    drawn = charts_of(written(tmp_path))
    figure = drawn["paper-figure-4-accuracy"]
    assert figure["tables"]["level"] == {"value": [0.9514], "text": ["paper 95.14%"]}
    assert set(figure["tables"]["rows"]["part"]) == {"test", "training"}
    assert "paper-figure-1-accuracy" not in drawn


def test_what_comes_from_a_run_is_text(tmp_path) -> None:
    make_run(tmp_path / "a", {"name": HOSTILE, "data.batch_size": 32}, accuracy=0.8)
    make_run(tmp_path / "b", {"name": HOSTILE, "data.batch_size": 64}, status="failed", reason=HOSTILE)
    (tmp_path / HOSTILE.replace("/", "")).mkdir()
    (tmp_path / HOSTILE.replace("/", "") / "result.json").write_text("{")
    text = written(tmp_path)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(" in text
    one = tmp_path / "one"
    make_run(one / "run", {"name": HOSTILE}, outputs=True, data=_data(classes=[HOSTILE, *CLASSES[1:]]))
    text = written(one)
    assert "<script>alert" not in text
    assert HOSTILE in charts_of(text)["confusion"]["tables"]["rows"]["row"]
    assert text.count("<script") == text.count("</script>")


def _data(**changed) -> dict:
    return {"variant": "cifar10-jpeg", "hash": "0" * 64, "sizes": {"test": 10_000}, **changed}


def test_the_page_may_ask_nothing_of_the_network(tmp_path) -> None:
    make_run(tmp_path / "run", outputs=True)
    text = written(tmp_path)
    assert "default-src 'none'" in text
    assert not re.findall(r'(?:src|href)="(?!#|data:|figures/|\.\./)[^"]*"', text)


def test_runs_that_did_not_finish_are_named_with_their_reason(tmp_path) -> None:
    make_run(tmp_path / "good")
    for seed, status in enumerate(("failed", "diverged", "interrupted"), 1):
        make_run(tmp_path / status, seed=seed, status=status)
    text = written(tmp_path)
    for status in ("failed", "diverged", "interrupted"):
        assert f"made to be {status}" in text
        assert str(tmp_path / status) in text
    assert "1 run: none finished" not in text
    assert "4 runs: 1 finished, 1 failed, 1 diverged and 1 interrupted." in text


def test_what_is_left_out_is_named(tmp_path) -> None:
    make_run(tmp_path / "good")
    record = make_run(tmp_path / "edited", seed=1) / "result.json"
    record.write_text(record.read_text().replace("0.9", "0.99", 1))
    text = written(tmp_path)
    assert "1 folder was left out" in text
    assert str(tmp_path / "edited") in text


def test_a_run_whose_text_cannot_be_printed_is_named_and_shown_spelled_out(tmp_path) -> None:
    make_run(tmp_path / "good", accuracy=0.8)
    odd = make_run(tmp_path / "odd", {"data.batch_size": 64}, data=_data(classes=["a\x07b", *CLASSES[1:]]), name="x\udcff")
    make_run(tmp_path / "torn", {"data.batch_size": 32}, timing={"total": "an hour"})
    text = written(tmp_path)
    assert f"<code>{odd}</code>: a class name holds characters that cannot be printed" in text
    assert "TypeError" not in text.split("torn")[0]
    assert "is not as a run writes it" in text  # the torn one is left out, the others are shown
    one = written(odd)
    assert "a\\x07b" not in one.split("chart-config")[0] or "\x07" not in one
    assert "\x07" not in one


def test_both_forms_rank_alike_where_a_cell_has_no_validation_part(tmp_path) -> None:
    for size, val, test in ((32, 0.95, 0.90), (64, 0.94, 0.92), (128, None, 0.99)):
        for seed in range(3):
            metrics = {"train/accuracy": 1.0, "test/accuracy": test, "test/accuracy_last": test}
            metrics |= {} if val is None else {"val/accuracy": val}
            metrics = {key: value - seed / 1e4 * (size / 32) for key, value in metrics.items()}
            values = {"data.batch_size": size, "data.validation": 0.0 if val is None else 0.1}
            make_run(tmp_path / f"{size}-{seed}", values, seed=seed, metrics=metrics)
    report = build([tmp_path])
    text, plain = page.write(report, tmp_path / "report")[0].read_text(), "\n".join(markdown.lines(report))
    for form in (text, plain):
        assert "Ranked by validation accuracy, so the test set had no say in which cell is best." in form
        assert "One cell held no validation images out" in form
    names = ["batch_size=32", "batch_size=64", "batch_size=128"]
    rows = re.findall(r'<tr class="(best)?"><th scope="row" class="first">(.*?)</th>', text.replace("<wbr>", ""))
    assert [(best, name.split(" · ")[-2 if "validation" in name else -1]) for best, name in rows[:3]] == list(
        zip(["best", "", ""], names, strict=True)
    )
    lines = [line for line in plain.replace("\\", "").splitlines() if line.startswith("| batch")]
    assert [next(name for name in names if f"{name} " in line) for line in lines[:3]] == names
    shown = [re.search(r"(?:yes|no) \(p [^)]*\)", row).group() for row in re.findall(r"<tr class.*?</tr>", text, re.DOTALL)[1:3]]
    assert [re.search(r"(?:yes|no) \(p [^)]*\)", line.replace("&lt;", "<")).group() for line in lines[1:3]] == [
        found.replace("&lt;", "<") for found in shown
    ]


def test_kinds_of_runs_have_a_section_each(tmp_path) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", variant="cifar10", protocol="paper")
    make_run(tmp_path / "c", scale="smoke")
    text = written(tmp_path)
    assert "They fall into 3 groups by data and protocol" in text
    assert "the numbers say nothing" in text
    assert "test accuracy is optimistic" in text
    anchors = re.findall(r'<section id="([^"]+)"', text)
    assert len(anchors) == len(set(anchors)) == 4  # three, and the paper
    assert len(set(charts_of(text))) == text.count('<figure class="chart')  # no name twice


def test_what_is_drawn_of_many_cells_is_capped_and_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(page.LIMITS, "cells", 20)
    for number in range(45):
        make_run(tmp_path / str(number), {"data.batch_size": number + 1}, accuracy=0.5 + number / 100)
    text = written(tmp_path)
    assert "Drawn: the first 40 of 45 cells." in text
    assert "Shown: the first 20 of 45 cells; all are in cells.csv." in text
    assert len(charts_of(text)["cells"]["tables"]["rows"]["label"]) == 40
    assert len(set(charts_of(text)["curves-accuracy"]["tables"]["rows"]["cell"])) == 10


def test_one_run_shows_its_answers_its_mistakes_and_its_time(tmp_path) -> None:
    make_run(tmp_path / "run", accuracy=0.9, outputs=True)
    text = written(tmp_path)
    drawn = charts_of(text)
    assert {"confusion", "per-class", "reliability", "time", "curves-accuracy"} <= drawn.keys()
    assert sum(drawn["confusion"]["tables"]["rows"]["count"]) == 10_000
    assert text.count('<img src="data:image/png;base64,') == 8
    assert "Expected calibration error" in text
    assert sum(drawn["time"]["tables"]["rows"]["value"]) == pytest.approx(3600)
    assert "data.batch_size" in text  # its config


def test_answers_that_cannot_be_read_are_named(tmp_path) -> None:
    folder = make_run(tmp_path / "run", accuracy=0.9, outputs=True)
    (folder / "test_outputs.npz").write_bytes(b"cut short")
    text = written(tmp_path)
    assert "test_outputs.npz: cannot be read" in text
    assert "confusion" not in charts_of(text)


def test_a_comparison_shows_both_sides(tmp_path) -> None:
    for seed in range(3):
        make_run(tmp_path / f"a{seed}", {"data.batch_size": 32}, seed=seed, accuracy=0.9 + 0.001 * seed)
        make_run(tmp_path / f"b{seed}", {"data.batch_size": 64}, seed=seed, accuracy=0.88 + 0.0012 * seed)
    text = written(tmp_path, compared=(str(tmp_path / "a0"), str(tmp_path / "b0")))
    assert "A against B" in text
    assert "data.batch_size" in text
    drawn = charts_of(text)
    assert {"compared-accuracy", "compared-differences"} <= drawn.keys()
    assert len(set(drawn["compared-accuracy"]["tables"]["rows"]["cell"])) == 2


def test_no_runs_make_a_page_too(tmp_path) -> None:
    text = written(tmp_path)
    assert "No whole run lies in" in text
    assert "What does not add up in the paper" in text


def test_an_evaluation_has_the_same_page(tmp_path) -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 10, 200)
    logits = random.normal(0, 1, (200, 10)) + 2 * np.eye(10)[targets]
    answers = Answers(logits, targets, CLASSES)
    images = random.integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)  # grey
    about = {"variant": "folder", "part": "all", "images": 200}
    found = {
        "run": HOSTILE,
        "checkpoint": "best.ckpt",
        "sha256": "0" * 64,
        "data": about,
        "evaluated": "2026-01-01T00:00:00+00:00",
    }
    found |= {"accuracy": answers.accuracy, "interval": [0.5, 0.9], "loss": 1.0, "calibration_error": 0.1}
    text = page.write_evaluation(found, answers, images, tmp_path).page.read_text()
    assert {"confusion", "per-class", "reliability", "confidence"} <= charts_of(text).keys()
    assert 0 < text.count('<img src="data:image/png;base64,') <= 24
    assert "<script>alert" not in text


@pytest.mark.slow
def test_the_library_is_made_again_where_its_kept_copy_is_damaged(tmp_path, monkeypatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("RESNET_LIT_CACHE", str(tmp_path))
    figures.library.cache_clear()
    first = figures.library()
    assert "vegaEmbed" in first
    assert "</script" not in first
    (kept,) = tmp_path.iterdir()
    assert kept.read_text().endswith(first)
    kept.write_text(kept.read_text()[:1000])
    figures.library.cache_clear()
    assert figures.library() == first
    figures.library.cache_clear()
