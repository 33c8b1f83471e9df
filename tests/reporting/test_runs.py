"""What is whole is read, what is not is named: nothing in a folder stops a report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run
from tests_support import ROOT

from resnet_lit import record as records
from resnet_lit.reporting.runs import Damaged, Problem, Run, find, read_run, read_runs


def edited(folder: Path, **changes: object) -> Path:
    """Change the record as a hand would: the digest stays."""
    path = folder / records.RESULT
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def reasons(root: Path) -> dict[str, str]:
    return {problem.folder.name: problem.reason for problem in read_runs([root])[1]}


def test_runs_are_found_below_a_folder_and_once(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(tmp_path / "a" / f"run-{seed}", seed=seed, accuracy=0.9 + seed / 100)
    runs, problems = read_runs([tmp_path, tmp_path / "a", tmp_path / "a" / "run-1"])
    assert [run.folder.name for run in runs] == ["run-0", "run-1"]
    assert problems == []
    assert runs[1].metrics["test/accuracy"] == 0.91
    assert runs[1].title == "model4"
    assert runs[0].values == runs[1].values  # they differ in their seed alone


def test_debug_runs_are_left_out_without_a_word(tmp_path: Path) -> None:
    make_run(tmp_path / "debug", debug=True)
    assert read_runs([tmp_path]) == ([], [])


def test_an_edited_accuracy_is_named_and_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    edited(run, metrics={**json.loads((run / records.RESULT).read_text())["metrics"], "test/accuracy": 0.99})
    assert "was changed after the run had written it" in reasons(tmp_path)["run"]


def test_files_cut_short_are_named(tmp_path: Path) -> None:
    for name in ("result.json", "metrics.csv"):
        run = make_run(tmp_path / name)
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: len(content) // 2])
    assert "cut short" in reasons(tmp_path)["result.json"]
    assert "metrics.csv was changed" in reasons(tmp_path)["metrics.csv"]
    assert read_runs([tmp_path])[0] == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", "not a record of a run"),
        ("", "it may have been cut short"),
        ("[" * 100_000, "it may have been cut short"),
        ('{"schema_version": 0, "status": "finished"}', "schema_version 0: this version reads 1"),
        ('{"status": "finished"}', "schema_version null"),
        ('{"schema_version": 1, "status": "running", "process": 3}', "has no identity"),
    ],
)
def test_what_is_no_record_is_named(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / records.RESULT).write_text(content)
    found = read_run(tmp_path / "run")
    assert isinstance(found, Problem)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "great"}, "no status of a run"),
        ({"metrics": None}, "has no metrics"),
        ({"metrics": {"test/accuracy": "0.9", "test/accuracy_last": 0.9}}, "is not a number"),
        ({"data": {"variant": "cifar10"}}, "data has no hash, sizes"),
        ({"data": 3}, "is not a group of values"),
        ({"config": {"model": None}}, "config has no group model, data"),
        ({"seed": "one"}, "not as a run writes it"),
    ],
)
def test_a_record_with_a_valid_digest_and_wrong_content_is_named(tmp_path: Path, change: dict, reason: str) -> None:
    found = read_run(make_run(tmp_path / "run", **{"status": "finished", **change}))
    if "status" in change:
        found = read_run(tmp_path / "run")
    assert isinstance(found, Problem)
    assert reason in found.reason


def test_a_folder_whose_record_is_gone_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "config.yaml").write_text("seed: 0\n")
    (run / records.RESULT).unlink()
    assert reasons(tmp_path) == {"run": "has no result.json"}


def test_a_run_under_way_is_read_while_its_metrics_grow(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", status="running")
    with (run / records.METRICS).open("a") as file:
        file.write("4000,4,0.1")  # a row that is just being written
    (found,), problems = read_runs([tmp_path])
    assert problems == []
    assert found.status == "running"
    assert found.metrics == {}
    assert found.curves()["epoch"].tolist() == [1, 2, 3]


def test_a_run_whose_process_died_is_interrupted(tmp_path: Path) -> None:
    make_run(tmp_path / "run", status="running", process={**records.process(), "started": 1})
    (found,), _ = read_runs([tmp_path])
    assert found.status == "interrupted"
    assert "ended unexpectedly" in found.reason


def test_of_one_run_in_two_folders_the_finished_one_stands(tmp_path: Path) -> None:
    make_run(tmp_path / "run", status="failed")
    make_run(tmp_path / "run.1")
    runs, problems = read_runs([tmp_path])
    assert [run.folder.name for run in runs] == ["run.1"]
    assert "the same run as" in problems[0].reason


def test_curves_are_columns_with_nan_where_nothing_was_read(tmp_path: Path) -> None:
    found = read_run(make_run(tmp_path / "run", epochs=4))
    assert isinstance(found, Run)
    curves = found.curves()
    assert curves["val/accuracy"][-1] == pytest.approx(0.9)
    assert np.isnan(curves["test/accuracy"]).all()


def test_answers_that_do_not_give_the_records_accuracy_are_damaged(tmp_path: Path) -> None:
    found = read_run(make_run(tmp_path / "good", outputs=True))
    assert isinstance(found, Run)
    assert found.outputs()["logits"].shape == (10_000, 10)
    found = read_run(make_run(tmp_path / "other", accuracy=0.8, outputs=True))
    assert isinstance(found, Run)
    (found.folder / "test_outputs.npz").write_bytes((tmp_path / "good" / "test_outputs.npz").read_bytes())
    with pytest.raises(Damaged, match=r"its logits give 90.00%, the record 80.00%"):
        found.outputs()
    (found.folder / "test_outputs.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(Damaged, match="cannot be read"):
        found.outputs()


def test_a_run_of_an_earlier_version_has_the_neutral_value_of_a_later_key(tmp_path: Path) -> None:
    now = read_run(make_run(tmp_path / "now"))
    config = json.loads((tmp_path / "now" / records.RESULT).read_text())["config"]
    del config["label_smoothing"]
    before = read_run(make_run(tmp_path / "before", config=config))
    assert isinstance(now, Run)
    assert isinstance(before, Run)
    assert now.values == before.values


def test_hidden_folders_and_those_inside_a_run_are_not_looked_into(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    make_run(run / "evaluations" / "inside", seed=5)
    make_run(tmp_path / ".hidden" / "run", seed=6)
    assert list(find(tmp_path)) == [run]


def test_reading_runs_needs_neither_torch_nor_hydra() -> None:
    code = "import sys; import resnet_lit.report, resnet_lit.reporting.build, resnet_lit.reporting.latex\n"
    code += "import resnet_lit.reporting.listing, resnet_lit.reporting.markdown\n"
    code += "print([name for name in ('torch', 'hydra', 'omegaconf', 'lightning') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
