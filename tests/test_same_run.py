"""What a run is not resumed from: another run's checkpoint, an edited config.yaml, a metrics.csv that is not as written."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from tests_support import TINY, files_of, start

from resnet_lit import record as records
from resnet_lit import same_run
from resnet_lit.config import load
from resnet_lit.evaluate import evaluate
from resnet_lit.reporting.runs import read_run
from resnet_lit.run import FolderError, resume, run
from resnet_lit.standing import stand
from resnet_lit.typed import Refused

pytestmark = pytest.mark.slow

WORDS = (*TINY, "trainer.max_epochs=1000", "trainer.log_every_n_steps=1", "checkpoint.every_minutes=0.0001")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was ended by SIGKILL after its first checkpoints."""
    where = tmp_path_factory.mktemp("killed")
    process = start(*WORDS, "hydra.run.dir=run", cwd=where)
    while not (where / "run" / "checkpoints" / "last.previous.ckpt").exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    process.kill()
    process.wait()
    return where / "run"


@pytest.fixture
def folder(killed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(killed, tmp_path / "run")


def flip_a_digit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b"\n1,") + len("\n1,1,0.")
    content[place] = ord("1") if content[place] != ord("1") else ord("2")
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("damage", "said"),
    [(flip_a_digit, "its checksum does not match"), (cut, r"is cut short \(200 of "), (Path.unlink, "is gone")],
)
def test_metrics_that_do_not_go_with_the_checkpoint_are_refused(folder: Path, damage: Callable, said: str) -> None:
    damage(folder / records.METRICS)
    before = files_of(folder)
    with pytest.raises(FolderError, match=rf"metrics\.csv: .*{said}.*fresh=true"):
        run(load(*WORDS), folder)
    after = files_of(folder)
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} <= {records.LOG, ".heartbeat"}


def test_a_checkpoint_of_another_run_is_refused_though_the_record_is_gone(folder: Path) -> None:
    (folder / records.RESULT).unlink()
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(
        FolderError, match=r"its checkpoint is of another run.* optimizer\.lr=0\.5 \(there: .*seed=7 \(there: 0\)"
    ):
        run(load(*WORDS, "optimizer.lr=0.5", "seed=7"), folder)
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before
    assert not (folder / records.RESULT).exists()


def edit_config(folder: Path, **values: object) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | values))


def test_an_edited_config_is_not_resumed_under_the_old_identity(folder: Path) -> None:
    edit_config(folder, seed=7)
    before = files_of(folder)
    with pytest.raises(FolderError, match=r"config\.yaml: was changed since the run began: seed=7 \(there: 0\)"):
        resume(folder)
    assert files_of(folder) == before
    record = json.loads((folder / records.RESULT).read_text())
    record["config"]["seed"] = 7  # the record as well
    (folder / records.RESULT).write_text(json.dumps(record))
    with pytest.raises(FolderError, match=r"result\.json was changed after the run had written it"):
        resume(folder)
    records.write(folder, record)  # with a right digest
    with pytest.raises(FolderError, match=r"was begun as"):
        resume(folder)
    (folder / records.RESULT).unlink()  # and without one, the checkpoint knows
    with pytest.raises(FolderError, match=r"its checkpoint is of another run, which differs in seed=7 \(there: 0\)"):
        resume(folder)


def test_an_edited_config_is_not_evaluated_as_the_run(folder: Path) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    edit_config(folder, data={**config["data"], "validation": 77})
    with pytest.raises(Refused, match=r"its config\.yaml was changed since it was trained: data\.validation=77 \(there: "):
        evaluate(folder, ["data.limit_test=10"], last=True)


def test_a_run_without_checksums_is_resumed_and_marked(folder: Path) -> None:
    """As an earlier version has left it. It is ended where it is: how it goes on is shown elsewhere."""
    for name in ("last.ckpt", "last.previous.ckpt"):
        state = torch.load(folder / "checkpoints" / name, weights_only=True)
        del state["written"]["metrics_sha256"]
        torch.save(state, folder / "checkpoints" / name)
    config = load(*WORDS)
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    outcome = {"identity": state["resnet_lit"]["identity"]}
    same_run.check(folder, state, config, outcome)
    assert records.unverified({**outcome, "digest": "…"}) == (
        "not verified: resumed from a checkpoint without a checksum of metrics.csv"
    )


def test_a_run_begun_by_a_version_with_other_results_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resnet_lit import identity

    monkeypatch.setattr(identity, "RESULTS_VERSION", identity.RESULTS_VERSION + 1)
    with pytest.raises(FolderError, match="this version computes other results"):
        resume(folder)
    with pytest.raises(FolderError, match="differs in the version of its results"):
        run(load(*WORDS), folder)


# --- what has ended: train, status and report read one record with one verdict


@pytest.fixture
def ended(folder: Path) -> Path:
    """The same as a run that has ended: its results are made up, its digest is right."""
    record, timing = records.read(folder), {"total": 1.0}
    data = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["resnet_lit"]["data"]
    metrics = {"test/accuracy": 0.9, "test/accuracy_last": 0.9, "test/loss": 0.1}
    results = {"metrics": metrics, "best": {"epoch": 1, "step": 1, "chosen_on": "val"}, "timing": timing}
    known = {"data": data, "model": {"parameters": 1454}}
    records.write(folder, {**record, **results, **known, "status": "finished", "reason": None})
    return folder


def raise_accuracy(folder: Path) -> None:
    path = folder / records.RESULT
    path.write_text(path.read_text().replace('"test/accuracy": 0.9,', '"test/accuracy": 0.99,'))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (raise_accuracy, "result.json was changed after the run had written it"),
        (lambda folder: flip_a_digit(folder / records.METRICS), "metrics.csv was changed after the run had written it"),
        (lambda folder: (folder / records.METRICS).unlink(), "metrics.csv is gone"),
    ],
)
def test_train_status_and_report_have_one_verdict(ended: Path, change: Callable, said: str) -> None:
    assert run(load(*WORDS), ended)["metrics"]["test/accuracy"] == 0.9
    assert stand(ended).status == "finished"
    assert read_run(ended).value("test/accuracy") == 0.9
    change(ended)
    with pytest.raises(FolderError) as refused:
        run(load(*WORDS), ended)
    assert said in str(refused.value)
    assert "fresh=true" in str(refused.value)
    assert stand(ended).status == "damaged"
    assert said in stand(ended).reason
    assert said in read_run(ended).reason


def test_a_record_without_a_digest_is_read_and_marked(ended: Path, capsys) -> None:
    from resnet_lit import closing, results

    record = json.loads((ended / records.RESULT).read_text())
    del record["digest"]
    (ended / records.RESULT).write_text(json.dumps(record))
    (ended / records.METRICS).unlink()
    assert closing.single(run(load(*WORDS), ended), ended) == 0
    assert "not verified: its record has no digest" in capsys.readouterr().out
    assert "not verified: its record has no digest" in results.table([stand(ended)])
    assert read_run(ended).unverified == "not verified: its record has no digest"
