"""The first paragraph says what was learned and what was not."""

from __future__ import annotations

from pathlib import Path

from made_runs import make_mixed, make_paper_run, make_run

from resnet_lit.reporting.build import build
from resnet_lit.reporting.findings import findings, one_run


def test_mixed_runs(tmp_path: Path) -> None:
    found = findings(build([make_mixed(tmp_path)]))
    assert found.counted.startswith("14 runs: 12 finished, 1 diverged and 1 failed.")
    shown, left = " ".join(found.shown), " ".join(found.open)
    assert "the best of 6 cells by validation accuracy is batch_size=64: 93.31% test accuracy in one run." in shown
    assert "All else equal, lr=0.1 is 0.82 points above lr=0.05" in shown
    assert "what optimizer and lr do by themselves: these runs change them only together" in left
    assert "Anything on folder (holdout): no run has finished." in left
    assert "no run here repeats one of its settings" in left


def test_a_resolved_difference_is_shown_and_one_within_noise_is_not(tmp_path: Path) -> None:
    for size, mean in ((32, 0.90), (64, 0.95), (128, 0.9502)):
        for seed in range(4):
            noise = (0.001, -0.001, 0.0005, -0.0005)[(seed + size // 32) % 4]
            make_run(tmp_path / f"{size}-{seed}", {"data.batch_size": size}, seed=seed, accuracy=mean + noise)
    found = findings(build([tmp_path]))
    assert "It is distinguishably better than batch_size=32" in " ".join(found.shown)
    assert "batch_size=128 is 5.02 points above batch_size=32" in " ".join(found.shown)
    assert "Whether batch_size=64 is worse than the best: within the seeds' noise." in found.open


def test_numbers_of_the_paper_are_counted_where_runs_repeat_them(tmp_path: Path) -> None:
    for seed in range(3):
        make_paper_run(tmp_path / str(seed), "model4_sgd_momentum", seed=seed, accuracy=0.9514 + seed / 1e4)
    found = findings(build([tmp_path]))
    assert any(line.startswith("Of the paper's numbers that these runs repeat:") for line in found.shown)
    assert not any("no run here repeats" in line for line in found.open)


def test_one_run_says_nothing_about_other_seeds(tmp_path: Path) -> None:
    make_run(tmp_path / "run", {"name": "digits"}, variant="digits", accuracy=0.94)
    found = one_run(build([tmp_path]))
    assert found.shown == ("digits was trained for 3 epochs on digits and reached 94.00% test accuracy.",)
    assert any("another seed" in line for line in found.open)


def test_no_runs(tmp_path: Path) -> None:
    assert findings(build([tmp_path])).counted == "There are no runs here, so nothing was measured."
