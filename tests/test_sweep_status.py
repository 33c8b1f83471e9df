"""What a user sees of a sweep: names, order, counts, time left; from the folders alone."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from resnet_lit import closing
from resnet_lit import record as records
from resnet_lit.config import folder_name, load
from resnet_lit.heartbeat import DEAD_SECONDS, HEARTBEAT
from resnet_lit.live import Progress
from resnet_lit.preflight import Cell
from resnet_lit.results import in_order, table, verdict
from resnet_lit.run import reason_of
from resnet_lit.schema import to_mapping
from resnet_lit.standing import names, seconds_left, short_names, stand, standings_below


def cell(outputs: Path, *words: str) -> Cell:
    config = load("+experiment=digits", *words)
    return Cell(words, config, outputs / folder_name(config))


def leave(one: Cell, status: str, reason: str | None = None, val: float = 0.5, test: float = 0.5, **more: Any) -> Path:
    """A run folder as training leaves it."""
    chosen = "test" if one.config.protocol == "paper" else "val"
    metrics = {"test/accuracy": test, "test/accuracy_last": test - 0.01} | ({"val/accuracy": val} if chosen == "val" else {})
    record: dict[str, Any] = {"status": status, "reason": reason, "process": records.process(), "ended": records.now()}
    record |= {"config": to_mapping(one.config), "protocol": one.config.protocol, "seed": one.config.seed}
    if status == "finished":
        record |= {"metrics": metrics, "best": {"epoch": 3, "step": 9, "chosen_on": chosen}, "timing": {"total": 100.0}}
    one.folder.mkdir(parents=True)
    records.write(one.folder, {**record, **more})
    return one.folder


def test_names_are_readable_and_unlike(tmp_path: Path) -> None:
    folders = [cell(tmp_path, "data.batch_size=32", "optimizer=adam", "seed=1").folder, cell(tmp_path).folder, Path("mine/run")]
    assert names(folders) == ["digits optimizer=adam batch_size=32 seed=1", "digits", "run"]
    alike = [Path("model4/seed=1-0123456789"), Path("model4/seed=1-9876543210")]
    assert names(alike) == ["model4 seed=1 0123456789", "model4 seed=1 9876543210"]


def test_what_all_runs_have_in_common_is_said_once(tmp_path: Path) -> None:
    common = ("data.limit_train=64", "trainer.max_epochs=3")
    first, second, plain = (cell(tmp_path, *words, *common).folder for words in (("optimizer=adam", "seed=1"), ("seed=2",), ()))
    short = ["digits optimizer=adam seed=1", "digits seed=2", "digits"]
    assert short_names([first, second, plain]) == (short, "limit_train=64 max_epochs=3")
    assert short_names([first]) == (names([first]), "")
    lines = table([stand(second), stand(plain)]).splitlines()
    assert lines[0] == "all with limit_train=64 max_epochs=3"
    assert [line.split("  ")[0] for line in lines[2:]] == ["digits seed=2", "digits"]


def test_runs_are_sorted_by_what_chose_their_epoch(tmp_path: Path) -> None:
    leave(cell(tmp_path, "seed=1"), "finished", val=0.90, test=0.80)
    leave(cell(tmp_path, "seed=2"), "finished", val=0.91, test=0.70)
    leave(cell(tmp_path, "seed=3"), "diverged", "train/loss is nan at step 3, lr 0.1")
    leave(cell(tmp_path, "seed=4"), "failed", "RuntimeError: an accident")
    ordered, ways = in_order(standings_below(tmp_path))
    assert [run.record["seed"] for run in ordered] == [2, 1, 3, 4]
    assert ways == ["validation accuracy, which chooses the epoch (protocol=holdout)"]
    leave(cell(tmp_path, "seed=5", "protocol=paper"), "finished", test=0.99)
    leave(cell(tmp_path, "seed=6", "protocol=paper"), "finished", test=0.95)
    ordered, ways = in_order(standings_below(tmp_path))
    assert [run.record["seed"] for run in ordered] == [2, 1, 5, 6, 3, 4]  # they do not compare with one another
    assert [way.split(",")[0] for way in ways] == ["validation accuracy", "test accuracy"]


def test_a_diverged_run_is_a_result_and_a_failed_one_is_not(tmp_path: Path, capsys) -> None:
    good = [leave(cell(tmp_path, "seed=1"), "finished"), leave(cell(tmp_path, "seed=2"), "diverged", "train/loss is nan")]
    runs = [stand(folder) for folder in good]
    assert closing.table(runs, None) == 0
    assert "1 of 2 finished, 1 diverged (a result: not tried again)\n" in capsys.readouterr().out
    bad = leave(cell(tmp_path, "seed=3"), "failed", "an accident")
    (bad / "train.log").touch()
    assert closing.table([*runs, stand(bad)], tmp_path / "x.csv") == 1
    shown = capsys.readouterr().out
    assert f"an accident; log: {bad / 'train.log'}" in shown
    assert "the same command trains what is missing" in shown
    assert f"CSV          {tmp_path / 'x.csv'}\n" in shown
    assert f"python -m resnet_lit.board {tmp_path / 'digits'}\n" in shown


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room"),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
    ],
)
def test_a_run_out_of_memory_is_told_what_to_try(error: Exception) -> None:
    why = reason_of(error, load("+experiment=model4"))
    assert why.startswith("out of memory (try a smaller data.batch_size, 64 for instance): ")
    assert why.endswith(str(error))
    assert reason_of(ValueError("x"), load("+experiment=model4")) == "ValueError: x"


def test_the_driver_says_what_ends_and_leaves_a_list_and_a_csv(tmp_path: Path, capsys) -> None:
    cells = [cell(tmp_path, f"seed={seed}", f"data.batch_size={size}") for seed, size in ((0, 16), (1, 16), (2, 32), (3, 32))]
    leave(cells[0], "finished", test=0.75)
    told: dict[Path, records.Record] = {}
    progress = Progress(cells, told, "sweep", "plain")
    progress.open()
    leave(cells[1], "failed", "an accident")
    progress.look()
    progress.tell(cells[2].folder, {"status": "refused", "reason": "no data"})
    progress.close()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "4 runs: 1 finished, 3 not run",
        "[2/4] digits batch_size=16 seed=1: failed  (an accident)  about 3:20 left",
        "[3/4] digits batch_size=32 seed=2: refused  (no data)  about 1:40 left",
    ]
    path = progress.results()
    assert path is not None
    rows = list(csv.DictReader(path.open()))
    assert [(row["status"], row["seed"], row["data.batch_size"], row["reason"]) for row in rows] == [
        ("finished", "0", "16", ""),
        ("failed", "1", "16", "an accident"),
        ("refused", "2", "32", "no data"),
        ("not run", "3", "32", ""),
    ]
    assert "optimizer.lr" not in rows[0]  # equal in all
    ended = subprocess.run(
        [sys.executable, "-m", "resnet_lit.sweep", "status", str(path.with_suffix(".json"))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "sweep  4 runs: 1 finished, 1 failed, 2 not run" in ended.stdout


def test_a_refused_sweep_leaves_no_list(tmp_path: Path) -> None:
    progress = Progress([cell(tmp_path, "seed=1")], {}, "sweep", "none")
    progress.close()  # before it was opened, where that has failed: the error is told, not another one
    progress.open()
    progress.close()
    assert progress.results() is None
    assert list(tmp_path.iterdir()) == []


def running(one: Cell, host: str, age: float) -> None:
    process = {"host": host, "pid": 1, "started": 1}
    folder = leave(one, "running", process=process, ended=None)
    beat = {**process, "count": 40, "epoch": 2, "epochs": 4, "step": 30, "steps": 60, "first_step": 10, "seconds": 20.0}
    (folder / HEARTBEAT).write_text(json.dumps({**beat, "metrics": {"val/accuracy": 0.625}}))
    os.utime(folder / HEARTBEAT, (time.time() - age, time.time() - age))


def test_status_shows_how_far_runs_of_other_hosts_are(command, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    leave(cell(outputs, "seed=1"), "finished", val=0.9123, test=0.9012)
    running(cell(outputs, "seed=2"), "elsewhere", age=20)
    running(cell(outputs, "seed=3"), "elsewhere", age=DEAD_SECONDS + 20)
    (outputs / "digits" / f"{cell(outputs, 'seed=1').folder.name}.1").mkdir()  # put aside: not shown
    shown = command("status", module="sweep")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("sorted by validation accuracy")
    assert lines[2].split() == ["digits", "seed=1", "finished", "91.23%", "90.12%", "89.12%", "1:40"]
    assert lines[3].startswith("digits seed=3  interrupted")
    assert lines[4].split("  ")[:2] == ["digits seed=2", "running"]
    assert lines[4].split()[3:] == ["62.50%", "epoch", "2/4", "step", "30/60", "30", "s", "left"]
    assert "outputs  3 runs: 1 finished, 1 interrupted, 1 running; about" in shown.stdout

    found = json.loads(command("status", "outputs", "--json", module="sweep").stdout)
    assert found["counts"] == {"finished": 1, "interrupted": 1, "running": 1}
    assert [run["status"] for run in found["runs"]] == ["finished", "interrupted", "running"]
    assert found["runs"][2]["progress"]["step"] == 30
    rows = list(csv.DictReader(io.StringIO(command("status", "--csv", module="sweep").stdout)))
    assert [row["seed"] for row in rows] == ["1", "3", "2"]


def test_time_left_counts_what_runs_cost_and_how_many_go_at_a_time(tmp_path: Path) -> None:
    leave(cell(tmp_path, "seed=1"), "finished")  # 100 s
    running(cell(tmp_path, "seed=2"), "elsewhere", age=0)  # a third of it in 20 s: half of it is left
    left = [stand(cell(tmp_path, f"seed={seed}").folder, cost=cost) for seed, cost in ((1, 1.0), (2, 1.0), (3, 2.0))]
    pace = (100 + 20) / (1 + 20 / 60)
    assert seconds_left(left) == pytest.approx((0.5 + 2) * pace)
    assert seconds_left(left[2:]) is None


def test_time_left_counts_the_start_of_each_run(tmp_path: Path) -> None:
    begun, ended = "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:48+00:00"
    leave(cell(tmp_path, "seed=1"), "finished", started=begun, sessions=[begun], ended=ended)  # 100 s, and 8 s before
    leave(cell(tmp_path, "seed=2"), "finished", started=begun, sessions=[begun, ended], ended=ended)  # went on: not known
    left = [stand(cell(tmp_path, f"seed={seed}").folder, cost=cost) for seed, cost in ((1, 1.0), (2, 1.0), (3, 2.0), (4, 0.1))]
    assert seconds_left(left) == pytest.approx((2.0 + 0.1) * 100 + 2 * 8)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("status", "nowhere"), "nowhere: no such folder (runs are in outputs/, or in the folder given as hydra.sweep.dir)"),
        (("outputs",), "outputs: no such subcommand (python -m resnet_lit.sweep status outputs)"),
        (("status", "--xml"), "--xml: no such option (python -m resnet_lit.sweep --help)"),
    ],
)
def test_bad_words_are_refused_in_one_line(command, words, line) -> None:
    ended = command(*words, module="sweep")
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"{line}\n")


def test_status_needs_neither_torch_nor_hydra() -> None:
    code = "import sys, resnet_lit.sweep; print({'torch', 'lightning', 'hydra'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_an_empty_table_and_a_whole_one_close_with_what_is_missing() -> None:
    assert table([]).splitlines() == ["run  status"]
    assert verdict([]) == "0 of 0 finished"
