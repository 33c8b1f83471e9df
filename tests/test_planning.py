"""The planner as a user meets it: forecasts of real runs, budgets that refuse before anything is written, sweeps that add up."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from test_forecast import EXTENT, PACE
from tests_support import TINY, files_of

from resnet_lit import plan, planning
from resnet_lit.config import folder_name, load
from resnet_lit.forecast import OptimizerCost
from resnet_lit.run import run
from resnet_lit.typed import Refused

REFUSAL = (
    "budget.hours=0.02: the run is forecast to take 1:34 (1:25 to 1:43); train for fewer epochs (trainer.max_epochs=2), "
    "or use budget.hours=0.03 or budget.on_exceed=warn"
)


@pytest.fixture
def rehearsed(monkeypatch) -> list[int]:
    """Rehearsals that take no time; how many runs each was for."""
    asked: list[int] = []

    def rehearse(configs, extents, optimizers=(), **amount):
        asked.append(len(configs))
        length = [dataclasses.replace(EXTENT, epochs=float(config.trainer.max_epochs)) for config in configs]
        costs = [OptimizerCost(0.1 * number, 0) for number in range(len(optimizers))] if len(optimizers) > 1 else []
        return planning._Rehearsed(length, dataclasses.replace(PACE, small=1.0), 0.0, costs)

    monkeypatch.setattr(planning, "_rehearse", rehearse)
    return asked


def test_a_budget_refuses_before_anything_is_written(rehearsed, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("data.batch_size=100", "trainer.max_epochs=3", "compile=false")
    with pytest.raises(Refused) as refusal:
        run(load(*TINY, *words, "budget.hours=0.02"))
    assert str(refusal.value) == REFUSAL
    assert list(tmp_path.iterdir()) == []


def test_a_budget_can_warn(rehearsed, tmp_path, capsys) -> None:
    config = load(*TINY, "data.batch_size=100", "trainer.max_epochs=3", "budget.hours=0.02", "budget.on_exceed=warn")
    planning.check_run(config, tmp_path / "run")
    assert REFUSAL in capsys.readouterr().err


def test_without_a_budget_nothing_is_timed(rehearsed, tmp_path) -> None:
    planning.check_run(load(*TINY), tmp_path / "run")
    planning.check_sweep([(load(*TINY), tmp_path / "run")])
    assert rehearsed == []


def free(monkeypatch, mib: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=int(mib * 2**20)))


def test_a_run_that_will_not_fit_on_its_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load("+experiment=model4", "optimizer=sgd_momentum", "data.root=/no/such/file")
    weights = 4 * 4_977_226 / 2**20  # MiB
    need = 3 * 3 * weights + weights + 3_000_000 / 2**20  # three of weights, momentum and best weights; best; all else
    free(monkeypatch, need - 1)
    with pytest.raises(Refused) as refusal:
        run(config, tmp_path / "no" / "such" / "run")
    assert str(refusal.value) == (
        f"{tmp_path}/no/such/run: the run needs about {need:.3g} MiB, {need - 1:.3g} MiB are free; free some, or choose another "
        "folder with hydra.run.dir=<folder>"
    )
    assert list(tmp_path.iterdir()) == []
    free(monkeypatch, need + 1)
    planning.check_run(config, tmp_path / "run")


def test_a_sweep_needs_what_stays_of_every_run_and_what_one_needs_meanwhile(tmp_path, monkeypatch) -> None:
    config = load("+experiment=model4")
    cells = [(dataclasses.replace(config, seed=seed), tmp_path / f"run{seed}") for seed in range(10)]
    weights, rest = 4 * 4_977_226 / 2**20, 3_000_000 / 2**20
    need = 10 * (weights + rest) + 9 * weights  # best of each; one at a time has three more of three times the weights
    free(monkeypatch, need - 1)
    with pytest.raises(Refused, match=r"the 10 runs need about .* hydra\.sweep\.dir=<folder>, or checkpoint\.keep=none"):
        planning.check_sweep(cells)
    free(monkeypatch, need + 1)
    planning.check_sweep(cells)


def test_checkpoints_that_are_there_already_need_no_more_space(tmp_path, monkeypatch) -> None:
    config = load("+experiment=model4")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"0" * 60_000_000)
    free(monkeypatch, 150)
    planning.check_run(config, tmp_path)
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(Refused):
        planning.check_run(config, tmp_path)


def test_a_budget_is_no_part_of_what_a_run_is() -> None:
    assert folder_name(load(*TINY, "budget.hours=3", "sweep.hours=5")) == folder_name(load(*TINY))


def test_runs_that_cost_the_same_are_rehearsed_once_and_added_up(rehearsed, tmp_path) -> None:
    runs = [
        (load(*TINY, f"seed={seed}", f"data.batch_size={size}", "trainer.max_epochs=3"), tmp_path / f"{seed}-{size}")
        for size in (50, 100)
        for seed in (0, 1, 2)
    ]
    planned = planning.plan(runs, say=lambda text: None)
    assert rehearsed == [3, 1, 3, 1]  # each kind: a first look for all, timed for one
    assert [run.forecast is not None for run in planned] == [True] * 6
    with pytest.raises(Refused, match=r"^sweep\.hours=0\.05: the 3 runs to do are forecast to take 4:41 "):
        planning.check_sweep([(dataclasses.replace(c, sweep=dataclasses.replace(c.sweep, hours=0.05)), f) for c, f in runs[3:]])


def test_nine_runs_of_three_optimizers_and_batch_sizes_are_three_kinds(rehearsed, tmp_path) -> None:
    runs = [
        (load(*TINY, f"optimizer={optimizer}", f"data.batch_size={size}"), tmp_path / f"{optimizer}-{size}")
        for size in (32, 64, 128)
        for optimizer in ("sgd", "sgd_momentum", "adam")
    ]
    said: list[str] = []
    planned = planning.plan(runs, say=said.append)
    assert rehearsed == [3, 1, 3, 1, 3, 1]
    assert "9 runs of 3 kinds; runs that differ in seed, rates, schedule, length or optimizer are timed once" in said
    training = [run.forecast.seconds["training"] for run in planned[:3] if run.forecast]
    assert training[0] < training[1] < training[2]  # each with what its own optimizer takes
    own = load(*TINY, "optimizer._target_=torch.optim.LBFGS", "optimizer.momentum=null", "data.batch_size=32")
    planning.plan([*runs[:3], (own, tmp_path / "own")], say=said.append)
    assert rehearsed[6:] == [3, 1, 1, 1]  # what an unknown optimizer does, only a rehearsal of its own shows


def test_kinds_share_the_time_that_one_would_have(rehearsed, tmp_path, monkeypatch) -> None:
    given: list[float] = []
    how_much = planning.how_much
    monkeypatch.setattr(planning, "how_much", lambda *args: given.append(args[-1]) or how_much(*args))
    long = ("trainer.max_epochs=1000", "compile=false")
    runs = [(load(*TINY, *long, f"data.batch_size={size}"), tmp_path / str(size)) for size in range(10, 100, 10)]
    planning.plan(runs[:1], say=lambda text: None)
    planning.plan(runs, say=lambda text: None)
    planning.plan(runs, seconds=20, say=lambda text: None)
    assert given == [planning.SECONDS, *[planning.TOGETHER_SECONDS / 9] * 9, *[20] * 9]
    given.clear()
    planning.plan([(load(*TINY, "trainer.max_epochs=1"), tmp_path / "short")], say=lambda text: None)
    assert planning.LEAST_SECONDS <= given[0] < planning.SECONDS  # a run of half a minute is not timed for as long


def test_what_the_default_is_called(rehearsed, tmp_path) -> None:
    runs = [load("+experiment=digits"), load("+experiment=digits", "data.batch_size=32")]
    planned = planning.plan([(config, tmp_path / folder_name(config)) for config in runs], say=lambda text: None)
    table = plan.table(planned, 1)
    assert "digits (default) " in table
    assert "digits batch_size=32 " in table


def test_runs_that_compile_by_their_length_are_timed_apart(monkeypatch, tmp_path) -> None:
    asked = []

    def rehearse(configs, extents, optimizers=(), **amount):
        asked.append([config.trainer.max_epochs for config in configs])
        length = [dataclasses.replace(EXTENT, compile="default" if c.trainer.max_epochs > 5 else None) for c in configs]
        return planning._Rehearsed(length, dataclasses.replace(PACE, compiled=length[0].compile), 0.0, [])

    monkeypatch.setattr(planning, "_rehearse", rehearse)
    runs = [(load(*TINY, "compile=auto", f"trainer.max_epochs={n}"), tmp_path / str(n)) for n in (1, 10, 2)]
    planned = planning.plan(runs, say=lambda text: None)
    assert asked == [[1, 10, 2], [1], [10], [10]]
    assert [run.forecast.compile for run in planned if run.forecast] == [None, "default", None]


def test_the_rehearsal_fits_its_seconds() -> None:
    config = load("+experiment=model4")
    slow = planning.how_much(config, dataclasses.replace(EXTENT, batches=352, train_images=45_000), PACE, 30.0)
    assert slow == {"batches": 2, "evaluated": 1, "epochs": 6}
    quick = dataclasses.replace(PACE, step=(0.01,) * 5, evaluated=(1e-5,) * 5, turn=0.0, save=0.0)
    amount = planning.how_much(config, dataclasses.replace(EXTENT, batches=352, train_images=45_000), quick, 30.0)
    assert amount["batches"] == 351  # all full ones there are
    assert amount["epochs"] == 6
    sizes = dataclasses.replace(quick, smaller=((16, 0.0025), (24, 0.005)))
    amount = planning.how_much(config, dataclasses.replace(EXTENT, batches=352, train_images=45_000), sizes, 30.0)
    assert amount == {"batches": 229, "evaluated": 2, "epochs": 6}  # 229 x 17.5 ms is four fifths of a sixth of 30 s
    together = planning.how_much(load("trainer.accumulate_grad_batches=4"), EXTENT, PACE, 30.0)
    assert together["batches"] == 4


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("data.bach_size=64",), "data.bach_size=64: unknown key: did you mean data.batch_size?"),
        (("-m", "data.batch_size=32,0"), "data.batch_size=0: must be at least 1 (try data.batch_size=128)"),
        (("-m", "+experiment=glob(modle*)"), "+experiment=glob(modle*): no run at all; a glob matches nothing"),
        (("--slot=3",), "--slot=3: no such option: did you mean --slots?"),
        (("--slots=0",), "--slots=0: must be a whole number of at least 1 (try --slots=1)"),
        (("budget.hours=0",), "budget.hours=0: must be above 0 (try budget.hours=8)"),
        (("budget.on_exceed=stop",), "budget.on_exceed=stop: must be one of refuse, warn (try budget.on_exceed=refuse)"),
    ],
)
def test_bad_words_are_refused_in_one_line(command, tmp_path, words, line) -> None:
    ended = command(*words, module="plan")
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"{line}\n")
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_torch() -> None:
    code = "import sys; sys.argv[1:] = ['--help']; from resnet_lit import plan\ntry: plan.main()\nexcept SystemExit: pass\n"
    code += "print({'torch', 'lightning'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("What a run, or every run of a multirun, will cost")
    assert shown.endswith("set()\n")


@pytest.mark.slow
def test_a_plan_writes_nothing_counts_what_is_left_and_knows_the_size_of_a_run(command, tmp_path, monkeypatch, capsys) -> None:
    words = (*TINY, "trainer.max_epochs=10", "data.resolution=[16,32]")
    first = load(*words, "seed=0", "checkpoint.keep=best")  # as a run of a sweep has it
    run(first, tmp_path / "outputs" / folder_name(first))
    before = files_of(tmp_path)
    planned = command("-m", *words, "seed=0,1,2", "--json", "--slots=2", "--seconds=2", module="plan")
    assert planned.returncode == 0, planned.stderr
    assert files_of(tmp_path) == before
    found = json.loads(planned.stdout)
    assert [one["status"] for one in found["runs"]] == ["finished", "not run", "not run"]
    forecasts = [one["forecast"] for one in found["runs"] if one["forecast"]]
    seconds = [one["total"] for one in forecasts]
    assert found["left"]["runs"] == 2
    assert found["left"]["seconds"] == pytest.approx(sum(seconds))
    assert found["left"]["slots_seconds"] == pytest.approx(max(seconds))
    assert (forecasts[0]["parameters"], forecasts[0]["images"]) == (1454, 10 * 192)
    assert 0 < forecasts[0]["low"] < forecasts[0]["total"] < forecasts[0]["high"]
    (folder,) = (tmp_path / "outputs").glob("*/*")
    record = json.loads((folder / "result.json").read_text())
    assert forecasts[0]["training_petaflops"] == pytest.approx(record["petaflops"])
    assert 0 < record["petaflops"] < 6 * record["model"]["macs"] * 10 * 192 / 1e15  # half of the epochs on smaller images
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert forecasts[0]["disk_end"] == pytest.approx(size, rel=0.2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["plan", *words, "seed=0"])
    plan.main()
    assert capsys.readouterr().out.endswith(": finished; nothing is left to train (fresh=true trains it again)\n")


@pytest.mark.slow
def test_the_command_refuses_what_will_not_fit_and_writes_nothing(command, tmp_path) -> None:
    many = command("-m", *TINY, "seed=0,1", "sweep.hours=0.0001")
    assert (many.returncode, many.stdout) == (2, "")
    assert many.stderr.splitlines()[-1].startswith("sweep.hours=0.0001: the 2 runs to do are forecast to take ")
    assert list(tmp_path.iterdir()) == []
