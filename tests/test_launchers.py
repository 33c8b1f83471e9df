"""What a launcher is given: shares of a machine, SLURM's queue as states, and refusals before anything is started."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.types import RunMode
from tests_support import TINY, records_in, start, wait_for

from resnet_lit.config import own_hydra
from resnet_lit.launchers import Requeued, queue_states, runs_here, share
from resnet_lit.record import usable_cores
from resnet_lit.typed import ConfigError


@pytest.mark.parametrize(
    ("nodes", "gpus", "cpus", "expected"),
    [
        ([{"CPU": 8}], "auto", "auto", (0, 1)),
        ([{"CPU": 16, "GPU": 4}], "auto", "auto", (1, 4)),
        ([{"CPU": 16, "GPU": 4}], 0.25, "auto", (0.25, 1)),
        ([{"CPU": 2, "GPU": 1}], 0.25, "auto", (0.25, 0.5)),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 4, "GPU": 2}, {"CPU": 64}], "auto", "auto", (1, 2)),
        ([{"CPU": 16, "GPU": 4}], 0, 4, (0, 4)),
    ],
)
def test_machines_are_divided_among_runs(
    nodes: list[dict[str, float]], gpus: float | str, cpus: float | str, expected: tuple[float, float]
) -> None:
    assert share(nodes, gpus, cpus) == expected


def test_a_share_that_no_machine_has_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_gpus=3: no machine has so many \\(at most 2"):
        share([{"CPU": 4, "GPU": 2}, {"CPU": 4, "GPU": 1}], 3, "auto")
    with pytest.raises(ConfigError, match="num_cpus=8: no machine has so many cores \\(at most 4"):
        share([{"CPU": 4}], "auto", 8)


def test_a_job_that_has_left_slurms_queue_has_ended() -> None:
    listed = "7_0|RUNNING|a\n7_1|COMPLETING|a\n7_2|PENDING|\n7_3|FAILED|b\n7_4|REQUEUED|\n9|OUT_OF_MEMORY|b\n"
    states = queue_states(listed, {"7_0", "7_1", "7_2", "7_3", "7_4", "7_5", "9"})
    assert {job: state["State"] for job, state in states.items()} == {
        **dict.fromkeys(("7_0", "7_1", "7_2", "7_4"), "RUNNING"),
        "7_3": "FAILED",
        "7_5": "COMPLETED",
        "9": "OUT_OF_MEMORY",
    }


@pytest.mark.parametrize("reason", ["ended by SIGINT", "killed by signal 9", None])
def test_only_a_run_that_slurm_has_ended_is_queued_again(reason: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    result = {"status": "interrupted", "reason": reason}
    assert Requeued(lambda config: result)(SimpleNamespace()) is result  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "missing", "line"),
    [
        ("hydra/launcher=gpus", "hydra_ray_launcher", "pip install 'resnet_lit[ray]'"),
        ("hydra/launcher=side_by_side", "hydra_joblib_launcher", "pip install 'resnet_lit[side_by_side]'"),
        ("hydra/sweeper=optuna", "hydra_optuna_sweeper", "pip install 'resnet_lit[optuna]'"),
    ],
)
def test_an_engine_that_is_not_installed_is_refused_with_the_extra_that_has_it(
    word: str, missing: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules['hydra_plugins.{missing}'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    driver = start("-m", *TINY, word, "seed=0,1", cwd=tmp_path)
    output = driver.communicate()[0]
    assert driver.returncode == 2, output
    assert output.splitlines()[-1].startswith(word)
    assert line in output
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "here"),
    [
        ([], True),
        (["hydra/launcher=side_by_side"], True),
        (["hydra/launcher=gpus"], True),
        (["hydra/launcher=ray_cluster"], False),
        (["hydra/launcher=slurm"], False),
    ],
)
def test_data_are_looked_at_where_the_runs_will_be(words: list[str], here: bool) -> None:
    with own_hydra() as hydra:
        assert runs_here(hydra.compose_config("config", words, RunMode.MULTIRUN)) is here


@pytest.mark.slow
def test_runs_side_by_side_share_the_cores_and_a_lost_worker_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("joblib")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "cluster"))
    sweep = (
        "-m",
        *TINY,
        "threads=auto",
        "hydra/launcher=side_by_side",
        "seed=0,1",
        "+callbacks.casualties._target_=casualties.Casualties",
    )
    sweep += ("+callbacks.casualties.orphaned=[1]",)
    driver = start(*sweep, cwd=tmp_path)  # seed 1 kills its worker: joblib gives up, and is started again
    output = driver.communicate()[0]
    assert driver.returncode == 0, output
    assert "JoblibLauncher has lost a job" in output
    assert "2 of 2 finished" in output
    records = records_in(tmp_path / "outputs" / "digits")
    assert {record["threads"] for record in records} == {max(1, usable_cores() // 2)}
    assert {record["seed"]: len(record["sessions"]) for record in records}[1] == 2


@pytest.mark.slow
def test_without_slurm_its_launcher_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    driver = start("-m", *TINY, "hydra/launcher=slurm", "seed=0,1", cwd=tmp_path)
    output = driver.communicate()[0]
    assert driver.returncode == 2, output
    assert "hydra/launcher=slurm: there is no sbatch here" in output


@pytest.mark.slow
def test_ctrl_c_ends_runs_side_by_side_with_checkpoints(tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    driver = start("-m", *TINY, "trainer.max_epochs=5000", "hydra/launcher=side_by_side", "seed=0,1", cwd=tmp_path)
    folder = tmp_path / "outputs" / "digits"
    wait_for(lambda: len(list(folder.glob("*/checkpoints/last.ckpt"))) == 2, 150)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(120) == 130
    assert [record["reason"] for record in records_in(folder)] == ["ended by SIGTERM"] * 2
