"""The files of conf/sweep/ and conf/scale/: what they say of themselves, the order of their runs, and that smoke stays apart."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from resnet_lit import paper
from resnet_lit.config import CONF, folder_name, load
from resnet_lit.models.cost import count_multiply_adds, count_parameters
from resnet_lit.preflight import cells_of
from resnet_lit.schema import architecture
from resnet_lit.standing import short_names

SWEEPS = sorted(path.stem for path in (CONF / "sweep").glob("*.yaml"))
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


def axes(*words: str) -> list[tuple[str, ...]]:
    """The words of each run of a sweep, in order."""
    return [cell.words for cell in cells_of(words)]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in ("architecture", "paper") else name for name in SWEEPS]
)
def test_a_sweep_file_opens_with_its_command_its_runs_and_its_cost(name: str) -> None:
    header = "".join(line for line in (CONF / "sweep" / f"{name}.yaml").read_text().splitlines(True) if line.startswith("#"))
    command = re.search(r"#   python -m resnet_lit\.train (.*)\n", header)
    stated = re.search(
        r"# Cost: (\d+) runs, ([\d.]+) petaFLOPs \(6 x multiply-adds x images; 200 epochs of 50,000 images", header
    )
    assert command
    assert stated
    runs = [cell.config for cell in cells_of(shlex.split(command[1]))]
    assert f"+sweep={name}" in command[1]
    assert len(runs) == len({folder_name(run) for run in runs}) == int(stated[1])
    cost = sum(6 * count_multiply_adds(architecture(run.model)) * run.trainer.max_epochs * 50_000 for run in runs) / 1e15
    assert stated[2] == (f"{cost:.1f}" if cost < 500 else f"{cost:.0f}")


def test_all_cells_with_the_first_seed_come_first() -> None:
    names = [cell.name for cell in paper.CELLS[:2]]
    runs = axes("+sweep=paper", "sweep.seeds=3", f"+cell={','.join(names)}")
    assert [run[:2] for run in runs] == [(f"seed={seed}", f"+cell={name}") for seed in range(3) for name in names]


@pytest.mark.slow
def test_the_papers_sweep_has_every_cell_once_in_order() -> None:
    runs = axes("+sweep=paper")
    assert [run[:2] for run in runs] == [("seed=0", f"+cell={cell.name}") for cell in paper.CELLS]


def test_a_value_on_the_command_line_replaces_its_axis() -> None:
    assert [run[0] for run in axes("+sweep=batch_size", "seed=3,5", "data.batch_size=64")] == ["seed=3", "seed=5"]
    assert [run[1] for run in axes("+sweep=paper", "+cell=model4_adam,model4_sgd")] == ["+cell=model4_adam", "+cell=model4_sgd"]
    assert [run[:2] for run in axes("+sweep=batch_size", "data.batch_size=8,16", "optimizer=sgd,adam")][:2] == [
        ("seed=0", "data.batch_size=8")
    ] * 2


@pytest.mark.parametrize(
    "words",
    [
        ("+experiment=model1",),
        ("+cell=model4_adam",),
        *(pytest.param((f"+experiment={name}",), marks=pytest.mark.slow) for name in EXPERIMENTS if name != "model1"),
        *(pytest.param((f"+sweep={name}",), marks=pytest.mark.slow) for name in SWEEPS),
    ],
)
def test_smoke_shrinks_anything_whatever_the_order_of_the_words(words: tuple[str, ...]) -> None:
    full, smoke, other_order = load(*words), load(*words, "+scale=smoke"), load("+scale=smoke", *words)
    assert smoke == other_order
    assert smoke.scale == "smoke"
    assert count_multiply_adds(architecture(smoke.model)) < count_multiply_adds(architecture(full.model)) / 20
    assert (smoke.data.limit_train, smoke.trainer.max_steps) == (512, 12)
    experiment, run = folder_name(smoke).split("/")
    assert experiment == f"{full.name}-smoke"
    assert run.split("-")[-1] != folder_name(full).split("-")[-1]
    assert "limit_train" not in run  # the folder says smoke already


def test_a_run_on_a_gpu_says_so() -> None:
    config = load("+cell=model4_adam", "+scale=gpu")
    assert (config.trainer.accelerator, config.trainer.precision) == ("gpu", "bf16-mixed")
    assert folder_name(config).startswith("model4/scale=gpu,optimizer=adam,protocol=paper-")
    assert folder_name(load("+cell=model4_adam", "+scale=[gpu,smoke]")).startswith("model4-smoke/optimizer=adam,protocol=paper-")


def test_the_width_counts_and_builds_alike() -> None:
    from resnet_lit.training import build_network
    from resnet_lit.training import count_parameters as count_built

    config = load("+experiment=model4", "model.width=0.5")
    assert list(architecture(config.model).channels) == [32, 64, 128, 256]
    assert count_built(build_network(config.model, 10)) == count_parameters(architecture(config.model)) == 1_247_530
    assert folder_name(load("+experiment=model4", "model.width=1")) == folder_name(load("+experiment=model4"))


@pytest.mark.slow
def test_a_smoke_sweep_trains_with_and_without_m_and_its_cells_are_found_alone(command, tmp_path: Path) -> None:
    cells = ("model4_dropout_only", "model1_batch_32")
    words = ("+sweep=paper", "+scale=smoke", "data=digits", f"+cell={','.join(cells)}")
    swept = command(*words)
    assert swept.returncode == 0, swept.stdout + swept.stderr
    lines = [line for line in swept.stdout.splitlines() if line.startswith("[")]
    expected = [folder_name(load("+scale=smoke", "data=digits", f"+cell={cell}")) for cell in cells]
    assert [line.split("] ")[1].split(":")[0] for line in lines] == short_names([Path(folder) for folder in expected])[0]
    for folder in expected:
        record = json.loads((tmp_path / "outputs" / folder / "result.json").read_text())
        assert (record["scale"], record["config"]["scale"], record["status"]) == ("smoke", "smoke", "finished")
        assert record["best"]["chosen_on"] == "test"
        assert {"test/accuracy", "test/accuracy_last"} <= set(record["metrics"])

    again = command("-m", *words)
    assert (again.returncode, "2 of 2 finished" in again.stdout) == (0, True)
    alone = command(f"+cell={cells[1]}", "+scale=smoke", "data=digits")
    assert "finished before" in alone.stdout
    assert "at smoke scale" in alone.stdout

    from resnet_lit.training import load_module

    assert load_module(tmp_path / "outputs" / expected[0] / "checkpoints" / "best.ckpt").network.fc.in_features == 64
