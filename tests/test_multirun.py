"""A multirun by Hydra's own launcher: a process a cell, casualties named, and typed again it finishes what is missing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests_support import ROOT, TINY, files_of, records_in, start, statuses, wait_for

from resnet_lit.config import folder_name, load
from resnet_lit.record import read

pytestmark = pytest.mark.slow


def processes_under(folder: Path) -> list[int]:
    """Processes that train a cell in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdigit()
                and os.readlink(entry / "cwd") == str(folder)
                and b"hydra.mode=RUN" in (entry / "cmdline").read_bytes()
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_cell_ends_when_its_driver_is_killed(tmp_path: Path) -> None:
    driver = start("-m", *TINY, "trainer.max_epochs=1000", "seed=0,1", cwd=tmp_path)
    wait_for(lambda: list((tmp_path / "outputs").glob("digits/*/checkpoints/last.ckpt")))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_for(lambda: not processes_under(tmp_path), 20)
    (folder,) = {p.parent for p in (tmp_path / "outputs").glob("digits/*/result.json")}
    assert read(folder)["status"] == "interrupted"


def test_experiments_can_be_swept_with_a_glob_and_go_where_they_are_told(tmp_path: Path) -> None:
    words = [w for w in TINY if not w.startswith("+experiment")]
    sweep = ["-m", "+experiment=glob(model1*)", "data=digits", *words, "trainer.max_epochs=1"]
    driver = start(*sweep, "hydra.sweep.dir=else where/a=b, c", cwd=tmp_path)
    output = driver.communicate()[0]
    assert driver.returncode == 0, output
    place = tmp_path / "else where" / "a=b, c"
    assert {path.name for path in place.iterdir() if path.is_dir()} == {"model1", "sweeps"}
    (found,) = place.glob("model1/*/result.json")  # of a multirun's runs the best weights stay alone
    assert [path.name for path in (found.parent / "checkpoints").iterdir()] == ["best.ckpt"]
    assert not (tmp_path / "outputs").exists()


def test_ctrl_c_ends_the_cell_with_a_checkpoint_and_prints_the_table(tmp_path: Path) -> None:
    driver = start("-m", *TINY, "trainer.max_epochs=1000", "seed=0,1", cwd=tmp_path)
    wait_for(lambda: list((tmp_path / "outputs").glob("digits/*/checkpoints/last.ckpt")))
    driver.send_signal(signal.SIGINT)
    output = driver.communicate(timeout=60)[0]
    assert driver.returncode == 130, output
    assert "interrupted" in output
    assert "not run" in output
    assert "Traceback" not in output
    (folder,) = {p.parent for p in (tmp_path / "outputs").glob("digits/*/result.json")}
    assert read(folder)["reason"] == "ended by SIGINT"


def test_a_sweep_waits_for_others_names_what_was_killed_and_the_next_typing_repairs_it(tmp_path: Path, monkeypatch) -> None:
    """Two of its runs are trained by other processes, of which one is killed; the third is killed too, in the sweep itself."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests"), str(ROOT / "tests" / "cluster")]))
    words = (*TINY, "+callbacks.held._target_=held.Held", "+callbacks.held.seeds=[0,1]", f"+callbacks.held.until={tmp_path}/go")
    words += ("+callbacks.casualties._target_=casualties.Casualties", "+callbacks.casualties.killed=[2]")
    outputs = tmp_path / "outputs" / "digits"
    finishes, dies = (start(*words, f"seed={seed}", cwd=tmp_path) for seed in (0, 1))
    wait_for(lambda: len(list(outputs.glob("*/.heartbeat"))) == 2 and "running" in statuses(outputs))
    sweep = start("-m", *words, "seed=0,1,2", cwd=tmp_path)
    assert sweep.stdout is not None
    printed = []
    for line in sweep.stdout:
        printed.append(line.rstrip())
        if "waiting for a run of another process" in line:
            break
    assert f"is trained by process {finishes.pid} on " in printed[-1]
    assert sum("[1/3]" in line for line in printed) == 1  # the third was trained meanwhile
    alone = start(*words, "seed=0", cwd=tmp_path)
    assert f"process {finishes.pid} on" in alone.communicate()[0]
    assert alone.returncode == 75
    dies.send_signal(signal.SIGKILL)
    dies.wait()
    (tmp_path / "go").touch()
    printed += sweep.communicate()[0].splitlines()
    assert sweep.returncode == 1, printed
    assert "2 of 3 finished" in "\n".join(printed)
    reason = "killed by signal 9 (SIGKILL)"
    assert reason in "\n".join(printed)
    assert {record["seed"]: (len(record["sessions"]), record["reason"]) for record in records_in(outputs)} == {
        0: (1, None),
        1: (2, None),
        2: (1, reason),
    }
    assert not list(outputs.glob("*/.heartbeat"))

    before = {name: digest for name, digest in files_of(outputs).items() if "result.json" in name}
    again = start("-m", *words, "seed=0,1,2", cwd=tmp_path)
    output = again.communicate()[0]
    assert again.returncode == 0, output
    assert "3 of 3 finished" in output
    after = {name: digest for name, digest in files_of(outputs).items() if "result.json" in name}
    assert len(after) == 3
    assert len(set(before.items()) & set(after.items())) == 2  # the finished ones were left alone

    monkeypatch.syspath_prepend(ROOT / "tests" / "cluster")  # for load
    cells = {path.parent.relative_to(tmp_path / "outputs").as_posix() for path in outputs.glob("*/result.json")}
    assert cells == {folder_name(load(*words, f"seed={seed}")) for seed in range(3)}
    single = start(*words, "seed=2", cwd=tmp_path)
    assert "finished before" in single.communicate()[0]
