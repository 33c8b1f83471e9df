"""More epochs for a finished run: `resume=<run> trainer.max_epochs=N`."""

from __future__ import annotations

import csv
import hashlib
import shutil
import time
from pathlib import Path

import pytest
import torch
import yaml
from tests_support import TINY, files_of, start, tensors_equal, wait_for

from resnet_lit import record as records
from resnet_lit.command_line import read_train
from resnet_lit.config import load
from resnet_lit.forecast import forecast, pace_key
from resnet_lit.planning import _as_it_stands, plan
from resnet_lit.rehearsal import _extents, rehearse
from resnet_lit.results import table
from resnet_lit.resuming import config_of, resumed, resumption
from resnet_lit.run import resume, run
from resnet_lit.standing import standings_below
from resnet_lit.typed import ConfigError, Refused

pytestmark = pytest.mark.slow
CONSTANT = (*TINY, "scheduler=constant", "deterministic=true", "logger=none", "augment=crop_flip", "model.dropout=0.1")


def epochs(number: int) -> str:
    return f"trainer.max_epochs={number}"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        timed = ("perf/seconds", "perf/images_per_second", "perf/mfu")
        return [{key: value for key, value in row.items() if key not in timed} for row in csv.DictReader(file)]


def rates(folder: Path) -> list[float]:
    """The learning rate of each epoch's last step."""
    return [float(row["lr"]) for row in rows(folder) if row["lr"]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one`: one epoch; `two`: two; `more`: that of one epoch, continued to two. The learning rate is constant."""
    folder = tmp_path_factory.mktemp("more")
    run(load(*CONSTANT, epochs(1)), folder / "one")
    run(load(*CONSTANT, epochs(2)), folder / "two")
    before = files_of(folder / "one")
    resume(folder / "one", max_epochs=2, new_folder=folder / "more")
    assert files_of(folder / "one") == before
    return folder


def test_a_run_continued_to_two_epochs_equals_one_of_two(place: Path) -> None:
    assert tensors_equal(place / "more", place / "two")
    assert rows(place / "more") == rows(place / "two")
    one, two, more = (records.read(place / name) for name in ("one", "two", "more"))
    for key in ("metrics", "best", "epochs", "steps"):
        assert more[key] == two[key]
    last = torch.load(place / "more" / "checkpoints" / "last.ckpt", weights_only=True)
    assert torch.equal(last["best"]["state_dict"]["network.fc.weight"], _best(place / "two"))
    assert more["parent"] == {
        "folder": str(place / "one"),
        "identity": one["identity"],
        "checkpoint": hashlib.sha256((place / "one" / "checkpoints" / "last.ckpt").read_bytes()).hexdigest(),
        "resumed_at_epoch": 1,
        "steps": one["steps"],
        "petaflops": one["petaflops"],
    }
    assert more["petaflops"] == pytest.approx(two["petaflops"])
    assert len({record["identity"] for record in (one, two, more)}) == 3
    assert "learning rate 0.1 as before" in (place / "more" / "train.log").read_text()


def _best(folder: Path) -> torch.Tensor:
    return torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]["network.fc.weight"]


def test_the_same_command_returns_the_record(place: Path) -> None:
    again = resume(place / "one", max_epochs=2, new_folder=place / "more")
    assert again["ended"] == records.read(place / "more")["ended"]
    assert resume(place / "more")["ended"] == again["ended"]


def test_the_identity_is_of_the_parents_checkpoint_not_of_its_place(place: Path, tmp_path) -> None:
    shutil.copytree(place / "one", tmp_path / "moved")
    first, second = (resumed(folder, {"trainer.max_epochs": 2}) for folder in (place / "one", tmp_path / "moved"))
    assert first[1] == second[1]
    assert first[1].name.startswith("max_epochs=2,resumed_at_epoch=1")
    assert resumed(place / "one", {"trainer.max_epochs": 3})[1] != first[1]
    path = tmp_path / "moved" / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    torch.save({**state, "state_dict": {k: v + 1 for k, v in state["state_dict"].items()}}, path)
    assert resumed(tmp_path / "moved", {"trainer.max_epochs": 2})[1] != first[1]


def test_a_continued_run_is_continued_again(place: Path, tmp_path) -> None:
    record = resume(place / "more", max_epochs=3, new_folder=tmp_path / "third")
    assert record["epochs"] == 3
    assert record["parent"]["resumed_at_epoch"] == 2
    assert [row["epoch"] for row in rows(tmp_path / "third") if row["train/loss_epoch"]] == ["1", "2", "3"]


PLATEAU = (
    "scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau",
    "+scheduler.args={patience:0,monitor:train/loss_epoch}",
)


@pytest.mark.parametrize(
    "words",
    [
        ("scheduler=cosine", "scheduler.epochs=4", "scheduler.interval=step", "scheduler.warmup_epochs=1.5"),
        (*PLATEAU, "+scheduler.args.threshold=1e9", "+scheduler.args.threshold_mode=abs", "optimizer=adamw"),
        (
            *("scheduler._target_=torch.optim.lr_scheduler.CosineAnnealingLR", "+scheduler.args={T_max:3}"),
            *("trainer.accumulate_grad_batches=2", "trainer.val_check_interval=2", "trainer.check_val_every_n_epoch=null"),
            *("optimizer=muon", "averaging=ema", "averaging.decay=0.8"),
        ),
        ("protocol=paper", "trainer.max_steps=100", "trainer.precision=bf16-mixed"),
    ],
    ids=["own length", "plateau", "torch's own", "paper"],
)
def test_a_schedule_that_does_not_depend_on_the_length_goes_on_bit_for_bit(tmp_path, words) -> None:
    for number in (1, 2):
        run(load(*CONSTANT, *words, epochs(number)), tmp_path / str(number))
    assert resume(tmp_path / "1", max_epochs=2, new_folder=tmp_path / "more")["status"] == "finished"
    assert tensors_equal(tmp_path / "more", tmp_path / "2")
    assert rates(tmp_path / "more") == rates(tmp_path / "2")


def test_a_schedule_that_does_is_that_of_the_new_length_from_there(tmp_path) -> None:
    words = [*CONSTANT, "scheduler=cosine", "optimizer.lr=0.02", "trainer.log_every_n_steps=100"]
    run(load(*words, epochs(2)), tmp_path / "two")
    resume(tmp_path / "two", max_epochs=4, new_folder=tmp_path / "four")
    assert rates(tmp_path / "two") == pytest.approx([0.02, 0.01])
    assert rates(tmp_path / "four") == pytest.approx([0.02, 0.01, 0.01, 0.01 * (1 - 0.5**0.5)])
    assert "as before" in (tmp_path / "four" / "train.log").read_text()  # 0.01 is the rate of both lengths there
    resume(tmp_path / "two", max_epochs=6, new_folder=tmp_path / "six")
    assert rates(tmp_path / "six")[2] == pytest.approx(0.015)
    assert "learning rate jumps from 0.01 to 0.015" in (tmp_path / "six" / "train.log").read_text()


def test_a_killed_continued_run_resumes_bit_for_bit(place: Path, tmp_path, monkeypatch) -> None:
    resume(place / "one", max_epochs=12, new_folder=tmp_path / "whole")
    words = [f"resume={place}/one/checkpoints/last.ckpt", "trainer.max_epochs=12", "progress=none"]
    process = start(*words, cwd=tmp_path)
    wait_for(lambda: [*tmp_path.glob("outputs/digits/*/checkpoints/last.ckpt")])
    process.kill()
    process.communicate()
    (killed,) = (tmp_path / "outputs" / "digits").iterdir()
    assert killed.name.startswith("max_epochs=12,resumed_at_epoch=1")
    assert records.read(killed)["status"] == "interrupted"
    again = start(*words, cwd=tmp_path)
    assert f"continues    {place}/one, from epoch 1" in again.communicate()[0]
    assert again.returncode == 0
    assert len(records.read(killed)["sessions"]) == 2
    assert config_of(killed).progress == "none"
    assert tensors_equal(killed, tmp_path / "whole")
    assert rows(killed) == rows(tmp_path / "whole")

    monkeypatch.chdir(tmp_path)
    assert "max_epochs=12" in table(standings_below(Path("outputs")))
    config, folder, _ = resumption(read_train(words))
    assert [(run.folder, run.status) for run in plan([(config, folder)])] == [(killed.relative_to(tmp_path), "finished")]
    config, folder, _ = resumption(read_train([*words[:1], "trainer.max_epochs=13", "fresh=true"]))
    assert config.fresh
    assert _as_it_stands(config, folder).steps_done == 3


def test_a_continued_run_needs_its_parents_checkpoint_until_it_has_its_own(place: Path, tmp_path) -> None:
    shutil.copytree(place / "one", tmp_path / "parent")
    resume(tmp_path / "parent", max_epochs=2, new_folder=tmp_path / "more")
    shutil.rmtree(tmp_path / "more" / "checkpoints")
    interrupted = {**records.read(tmp_path / "more"), "status": "interrupted"}
    records.write(tmp_path / "more", interrupted)
    path = tmp_path / "parent" / "checkpoints" / "last.ckpt"
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    with pytest.raises(Refused, match=r"parent/checkpoints/last\.ckpt: is another one"):
        resume(tmp_path / "more")
    path.unlink()
    with pytest.raises(Refused, match=r"parent/checkpoints/last\.ckpt: is gone"):
        resume(tmp_path / "more")
    path.write_bytes(content)
    assert resume(tmp_path / "more")["status"] == "finished"
    assert tensors_equal(tmp_path / "more", place / "two")


def changed(folder: Path, to: Path, record: dict | None = None, config: dict | None = None) -> Path:
    """A copy of a finished run with another record or config."""
    shutil.copytree(folder, to)
    values = yaml.safe_load((to / "config.yaml").read_text())
    values["trainer"] |= config or {}
    (to / "config.yaml").write_text(yaml.safe_dump(values))
    records.write(to, {**records.read(to), "config": values, **(record or {})})
    return to


def test_what_cannot_be_continued_is_one_line(place: Path, tmp_path) -> None:
    def refusal(folder: Path, number: int = 4) -> str:
        with pytest.raises(Refused) as error:
            resume(folder, max_epochs=number, new_folder=tmp_path / "new")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "new").exists()
        return str(error.value)

    assert "has trained 1 epochs; give more than that (try trainer.max_epochs=2)" in refusal(place / "one", 1)
    assert "must be a whole number" in refusal(place / "one", "many")  # type: ignore[arg-type]
    for status in ("interrupted", "failed", "diverged"):
        text = refusal(changed(place / "one", tmp_path / status, {"status": status}))
        assert ("has diverged" if status == "diverged" else f"has not finished ({status}); finish it first") in text
    early = changed(place / "two", tmp_path / "early", config={"max_epochs": 9})
    assert "after 2 of 9 (a callback, early stopping for instance)" in refusal(early, 20)
    steps = changed(place / "two", tmp_path / "steps", config={"max_steps": 5})
    assert "trainer.max_steps=5" in refusal(steps)
    (early / "checkpoints" / "last.ckpt").unlink()
    kept = changed(place / "two", tmp_path / "kept")
    (kept / "checkpoints" / "last.ckpt").unlink()
    assert "checkpoint.keep=all" in refusal(kept)
    cut = changed(place / "one", tmp_path / "cut")
    (cut / "metrics.csv").write_text("step,epoch\n")
    assert "metrics.csv" in refusal(cut)
    stopped = changed(place / "one", tmp_path / "stopped")
    state = torch.load(stopped / "checkpoints" / "last.ckpt", weights_only=True)
    torch.save({**state, "should_stop": True}, stopped / "checkpoints" / "last.ckpt")
    assert "early stopping" in refusal(stopped)
    (tmp_path / "empty").mkdir()
    assert "holds no run" in refusal(tmp_path / "empty")
    with pytest.raises(ConfigError, match=r"^parent: "):
        load("+parent.folder=x")


def test_one_cycle_of_torchs_own_ends_with_its_steps(tmp_path) -> None:
    cycle = ("scheduler._target_=torch.optim.lr_scheduler.OneCycleLR", "scheduler.interval=step")
    run(load(*CONSTANT, *cycle, "+scheduler.args={max_lr:0.1,total_steps:3}", epochs(1)), tmp_path / "one")
    with pytest.raises(ConfigError, match=r"^scheduler\.args: the schedule has 3 steps, the run has 6"):
        resume(tmp_path / "one", max_epochs=2, new_folder=tmp_path / "more")


def test_the_command_takes_a_short_list_of_words_beside_resume(place: Path) -> None:
    for words, text in (
        (["trainer.max_epochs=2", "optimizer.lr=1", "data.root=x"], "leave out optimizer.lr=1"),
        (["trainer.max_epochs=2", "-m"], "leave out -m"),
        (["--cfg=job"], "leave out --cfg"),
        (["fresh=true"], "leave out fresh=true"),
        (["hydra.run.dir=other"], "hydra.run.dir=other: a run is resumed in its own folder; leave it out"),
        (["progress=loud"], "progress=loud: must be one of auto, rich, plain, none (try progress=auto)"),
    ):
        with pytest.raises(ConfigError) as error:
            resumption(read_train([f"resume={place}/one", *words]))
        assert str(error.value).endswith(text)


def test_a_forecast_is_that_of_the_epochs_that_are_left(place: Path, tmp_path) -> None:
    """A rehearsal begins anew, without the parent's checkpoint, and runs that differ in their parents are rehearsed once."""
    (tmp_path / "rehearsal").mkdir()
    config, folder, _ = resumed(place / "one", {"trainer.max_epochs": 3})
    assert pace_key(config) == pace_key(config_of(place / "one"))
    (extent,) = _extents([config])
    pace = rehearse(config, extent, tmp_path / "rehearsal", batches=1, evaluated=1, epochs=2, whole=False, since=time.time())
    whole, rest = (forecast(config, extent, pace, steps) for steps in (0, _as_it_stands(config, folder).steps_done))
    assert rest.seconds["training"] == pytest.approx(whole.seconds["training"] * 2 / 3)


def test_a_report_holds_a_continued_run_apart_from_one_trained_at_once(place: Path) -> None:
    from resnet_lit.reporting.cells import sections
    from resnet_lit.reporting.runs import read_runs

    runs, problems = read_runs([place / "more", place / "two"])
    assert not problems
    (section,) = sections(runs)
    assert sorted(cell.factors["resumed_at_epoch"] for cell in section.cells) == [0, 1]


def test_several_processes_continue_together(place: Path, tmp_path, command) -> None:
    changed(place / "one", tmp_path / "one", config={"accelerator": "cpu", "devices": 2, "strategy": "ddp"})
    ended = command("resume=one", "trainer.max_epochs=2", "hydra.run.dir=two")
    assert ended.returncode == 0, ended.stderr
    record = records.read(tmp_path / "two")
    assert (record["epochs"], record["parent"]["resumed_at_epoch"], record["hardware"]["devices"]) == (2, 1, ["cpu", "cpu"])
    losses = [
        float(rows(folder)[-1]["train/loss_epoch"] or rows(folder)[-2]["train/loss_epoch"])
        for folder in (tmp_path / "two", place / "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)  # BatchNorm sees half a batch on each
