"""Accuracy at a budget: which runs stand beside published numbers, and as what."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_runs import make_run

from resnet_lit.reporting.budget import OURS, SEVERAL, SINGLE, THEIRS, accuracy_at_a_budget
from resnet_lit.reporting.build import build
from resnet_lit.reporting.page import write
from resnet_lit.reporting.published import PUBLISHED


def runs(folder: Path, accuracies: list[float], **options) -> None:
    for seed, accuracy in enumerate(accuracies):
        options = {"variant": "cifar10", "protocol": "final", "petaflops": 2.5, **options}
        make_run(folder / f"run{seed}", seed=seed, accuracy=accuracy, **options)


def test_a_cell_stands_beside_the_published_numbers_by_what_it_took(tmp_path: Path) -> None:
    runs(tmp_path / "runs", [0.95, 0.952, 0.954])
    chart = accuracy_at_a_budget(build([tmp_path / "runs"]).sections)
    assert chart is not None
    ours = [row for row in chart.rows if row["whose"] == OURS]
    assert [(row["petaflops"], row["runs"], row["views"], row["how"]) for row in ours] == [(2.5, "3", SINGLE, "protocol=final")]
    assert ours[0]["mean"] == pytest.approx(0.952)
    assert ours[0]["low"] < 0.952 < ours[0]["high"]
    theirs = {row["name"]: row for row in chart.rows if row["whose"] == THEIRS}
    assert len(theirs) == len(PUBLISHED)
    assert (theirs["the paper"]["mean"], theirs["the paper"]["how"]) == (0.9514, "best test epoch")
    assert theirs["airbench94_muon"]["views"] == SEVERAL


def test_each_kind_of_tta_is_a_point_of_its_own(tmp_path: Path) -> None:
    for seed, (tta, accuracy) in enumerate((("flip", 0.95), ("flip", 0.952), (6, 0.97))):
        metrics = {"test/accuracy": 0.94, "test/accuracy_last": 0.94, "test/accuracy_tta": accuracy}
        options = {"variant": "cifar10", "protocol": "final", "petaflops": 2.5}
        make_run(tmp_path / str(seed), seed=seed, accuracy=0.94, tta=tta, metrics=metrics, **options)
    chart = accuracy_at_a_budget(build([tmp_path]).sections)
    assert chart is not None
    views = [(row["how"], row["runs"], round(row["mean"], 4)) for row in chart.rows if row["views"] == SEVERAL][:2]
    assert views == [
        ("protocol=final, evaluation.tta=flip", "2", 0.951),
        ("protocol=final, evaluation.tta=6", "1", 0.97),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"variant": "cifar10-jpeg"},
        {"scale": "smoke"},
        {"petaflops": None},
        {"model": {"parameters": 11_173_962, "macs": 555_000_000}},
    ],
    ids=["lossy", "scale", "unknown cost", "too large"],
)
def test_what_does_not_compare_with_published_numbers_is_not_drawn(options: dict, tmp_path: Path) -> None:
    runs(tmp_path / "runs", [0.95], **options)
    assert accuracy_at_a_budget(build([tmp_path / "runs"]).sections) is None


def test_the_page_has_the_picture_and_its_file(tmp_path: Path) -> None:
    runs(tmp_path / "runs", [0.95, 0.952])
    written = write(build([tmp_path / "runs"]), tmp_path / "report")
    assert not written.troubles
    assert (tmp_path / "report" / "figures" / "budget.svg") in written.figures
    assert "Accuracy at a budget" in written.page.read_text()
