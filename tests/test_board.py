"""TensorBoard on run folders: runs called by what they are, for this machine alone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests_support import ROOT, hear_ctrl_c

from resnet_lit.board import Links, event_files, run_name


def a_run(folder: Path, events: str = "events.out.tfevents.1", **record: object) -> Path:
    """A run's folder as the board reads it."""
    folder.mkdir(parents=True)
    values = {"status": "finished", "name": "model4", "label": None, "scale": None, "debug": False, "seed": 0, **record}
    (folder / "result.json").write_text(json.dumps(values))
    (folder / events).write_bytes(b"")
    return folder


# --- names


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"label": "optimizer=adam,batch_size=64,seed=1", "seed": 1}, "model4 optimizer=adam batch_size=64 seed=1"),
        ({}, "model4 seed=0"),
        ({"label": "mine", "scale": "smoke"}, "model4 smoke mine seed=0"),
        ({"debug": True}, "debug model4 seed=0"),
        ({"name": "../<script>alert(1)</script>", "label": "a/b"}, "script-alert-1-script- a-b seed=0"),
    ],
)
def test_a_run_is_called_by_what_it_is(record, name, tmp_path) -> None:
    assert run_name(a_run(tmp_path / "run", **record)) == name


@pytest.mark.parametrize("content", ["", "{}", '{"status": "finished", "name": 1', '{"status": "finished", "name": "x"}', "[]"])
def test_a_damaged_record_leaves_the_path_for_a_name(content, tmp_path) -> None:
    folder = a_run(tmp_path / "model4" / "seed=3-0123456789")
    (folder / "result.json").write_text(content)
    assert run_name(folder) == "model4 seed=3-0123456789"


def shown(folder: Path) -> dict[str, list[Path]]:
    return {str(run.relative_to(folder)): sorted(link.resolve() for link in run.iterdir()) for run in sorted(folder.iterdir())}


def test_links_follow_a_sweep_that_goes_on(tmp_path) -> None:
    outputs, into = tmp_path / "outputs", tmp_path / "shown"
    into.mkdir()
    first = a_run(outputs / "model4" / "0123456789")
    links = Links([outputs], into)
    assert links.update() == 1
    assert shown(into) == {"model4 seed=0": [first / "events.out.tfevents.1"]}

    second = a_run(outputs / "model4" / "seed=1-123456789a", label="seed=1", seed=1)
    (first / "events.out.tfevents.1").rename(first / "events.out.tfevents.1.old")  # gone on with
    (first / "events.out.tfevents.2").write_bytes(b"")
    assert links.update() == 2
    assert shown(into) == {
        "model4 seed=0": [first / "events.out.tfevents.2"],
        "model4 seed=1": [second / "events.out.tfevents.1"],
    }

    first.rename(aside := first.with_name("0123456789.1"))  # fresh=true
    again = a_run(first)
    assert links.update() == 3
    assert shown(into)["model4 seed=0"] == [again / "events.out.tfevents.1"]
    assert shown(into)["model4 seed=0 0123456789.1"] == [aside / "events.out.tfevents.2"]

    for path in second.iterdir():
        path.unlink()
    assert links.update() == 2
    assert "model4 seed=1" not in shown(into)


def test_runs_of_one_name_are_told_apart(tmp_path) -> None:
    (tmp_path / "shown").mkdir()
    folders = [
        a_run(tmp_path / "a" / "x-0123456789"),
        a_run(tmp_path / "a" / "x-abcdefabcd"),
        a_run(tmp_path / "b" / "x-abcdefabcd"),
    ]
    assert Links([tmp_path / "a", tmp_path / "b"], tmp_path / "shown").update() == 3
    names = ["model4 seed=0", "model4 seed=0 abcdefabcd", "model4 seed=0 abcdefabcd 2"]
    assert shown(tmp_path / "shown") == {n: [f / "events.out.tfevents.1"] for n, f in zip(names, folders, strict=True)}


def test_any_folder_of_events_is_found_once(tmp_path) -> None:
    run = a_run(tmp_path / "run")
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "tfevents").write_bytes(b"")
    (tmp_path / "back").symlink_to(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "events.out.tfevents.7").write_bytes(b"")
    assert dict(event_files(tmp_path)) == {run: {"events.out.tfevents.1"}, tmp_path / "other": {"events.out.tfevents.7"}}


# --- the command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere: no such folder"),
        ([".", "--port", "6007"], "6007: no such folder (an option's value goes behind =)"),
        (["--logdir=."], "--logdir: name the folder alone"),
    ],
)
def test_words(command, words, said) -> None:
    ended = command(*words, module="board")
    assert ended.returncode == 2
    assert ended.stderr.startswith(said)
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.slow
def test_it_serves_this_machine_alone_on_a_free_port_until_ctrl_c(tmp_path) -> None:
    a_run(tmp_path / "runs" / "0123456789")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with socket.socket() as usual:
        usual.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # something is there already, which is as well
            usual.bind(("127.0.0.1", 6006))
            usual.listen()
        server = subprocess.Popen(
            [sys.executable, "-m", "resnet_lit.board", "runs"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
            preexec_fn=hear_ctrl_c,
        )
        try:
            assert server.stderr is not None
            assert server.stderr.readline() == "runs: 1 run so far\n"
            port = int(next(found[1] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:(\d+)/", line))))
            assert port != 6006
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/environment", timeout=60) as answer:
                assert json.load(answer)["window_title"] == "runs"
            with pytest.raises(ConnectionRefusedError):  # of this machine too, but not the address that was said
                socket.create_connection(("127.0.0.2", port), timeout=5)
            server.send_signal(signal.SIGINT)
            assert "Traceback" not in server.communicate(timeout=60)[1]
            assert server.returncode == 0
        finally:
            server.kill()
            server.communicate()
    assert not list(temporary.glob("resnet_lit_board_*"))
