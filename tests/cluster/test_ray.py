"""Ray for real: one of the sweep's own, and a cluster of two nodes that are processes of their own, with pretended GPUs."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf
from tests_support import TINY, records_in, start, statuses, wait_for

from resnet_lit.typed import Refused

pytest.importorskip("ray", reason="Ray is not installed: pip install 'resnet_lit[ray]'")
pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="hydra-ray-launcher is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CELLS = (*TINY, "trainer=cpu", "threads=auto", "+callbacks.casualties._target_=casualties.Casualties")


@pytest.fixture(autouse=True)
def _paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of two nodes with a core and a GPU each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    ray = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--block",
        "--num-cpus=1",
        "--num-gpus=1",
        "--disable-usage-stats",
    ]
    folder = tmp_path_factory.mktemp("node")  # not where the driver is
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))  # for the nodes and for those who join them
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "OMP_NUM_THREADS")}
    environment["RAY_worker_niceness"] = "0"  # else they starve beside other tests
    nodes = []
    head = ["--head", f"--port={address.split(':')[1]}", "--include-dashboard=false", '--resources={"head": 1}']
    for role in (head, [f"--address={address}"]):
        node = subprocess.Popen([*ray, *role], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        nodes.append(node)
        assert node.stdout is not None
        assert any("Ray runtime started" in line for line in node.stdout)
    yield address
    for node in reversed(nodes):
        node.terminate()
        node.wait()
    del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]


def test_a_sweep_outlives_its_driver_its_runs_and_a_move_to_a_cluster_and_back(cluster: str, tmp_path: Path) -> None:
    here = ("hydra/launcher=gpus", "hydra.launcher.ray.init.num_gpus=2", "hydra.launcher.ray.init.num_cpus=2")
    there = ("hydra/launcher=ray_cluster", f"hydra.launcher.ray.init.address={cluster}")
    happens = [f"+callbacks.casualties.{what}" for what in ("ended=[0,1]", "raises=[2]", "killed=[3]")]
    sweep = ("-m", *CELLS, *happens)
    folder = tmp_path / "outputs" / "digits"

    driver = start(*sweep, *here, "seed=0,1", cwd=tmp_path)
    wait_for(lambda: len(list(folder.glob("*/had its accident"))) == 2)
    told = [json.loads(path.read_text()) for path in folder.glob("*/told.json")]
    assert sorted(run["gpus"] for run in told) == ["0", "1"]  # one each
    assert {run["threads"] for run in told} == {1}  # its part of the cores
    driver.kill()
    driver.wait()
    wait_for(lambda: set(statuses(folder)) == {"interrupted"}, 60)
    assert [record["reason"] for record in records_in(folder)] == ["ended by SIGTERM"] * 2

    joined = start(*sweep, *there, "seed=0,2,3", cwd=tmp_path)
    output = joined.communicate()[0]
    assert joined.returncode == 1, output
    assert "1 of 3 finished" in output
    assert "an accident" in output
    assert "killed by signal 9" in output
    assert len(list(folder.glob("*/told.json"))) == 4

    again = start(*sweep, *here, "seed=0,1,2,3", cwd=tmp_path)
    output = again.communicate()[0]
    assert again.returncode == 0, output
    assert "4 of 4 finished" in output
    assert [len(record["sessions"]) for record in records_in(folder)] == [2, 2, 2, 2]


def test_too_large_a_share_is_refused_before_anything(cluster: str, tmp_path: Path) -> None:
    words = ("hydra/launcher=ray_cluster", f"hydra.launcher.ray.init.address={cluster}", "hydra.launcher.ray.remote.num_gpus=2")
    driver = start("-m", *CELLS, *words, "seed=0,1", cwd=tmp_path)
    output = driver.communicate()[0]
    assert driver.returncode == 2, output
    assert "hydra.launcher.ray.remote.num_gpus=2: no machine has so many (at most 1; 0: on the CPU)" in output
    assert not list(tmp_path.glob("outputs/*/*"))


@pytest.mark.parametrize(
    ("address", "found", "why"),
    [
        ("auto", None, "Could not find any running Ray instance."),
        ("auto", "127.0.0.1:9", "no answer from 127.0.0.1:9: Connection refused"),  # a dead cluster has left it
        ("127.0.0.1:9", "127.0.0.1:9", "no answer from 127.0.0.1:9: Connection refused"),
        ("ray://127.0.0.1:9", None, "no answer from 127.0.0.1:9: Connection refused"),
        ("ray://127.0.0.1", None, "no answer from 127.0.0.1: Connection refused"),
    ],
)
def test_no_cluster_at_an_address_is_one_line(monkeypatch: pytest.MonkeyPatch, address: str, found: str | None, why: str) -> None:
    from ray._private import services

    from resnet_lit import launchers

    def look_up(_: str) -> str:  # as Ray does; other tests may have a cluster running
        if found is None:
            raise ConnectionError("Could not find any running Ray instance.\nPlease specify the one to connect to")
        return found

    monkeypatch.setattr(services, "canonicalize_bootstrap_address", look_up)
    monkeypatch.setattr(launchers, "CLIENT_PORT", 9)  # 10001 answers while another test has a cluster running
    launcher = SimpleNamespace(ray_cfg=OmegaConf.create({"init": {"address": address}, "remote": {}}))
    with pytest.raises(Refused) as refused:
        launchers._start_ray(launcher)
    assert str(refused.value) == f"hydra.launcher.ray.init.address={address}: {why} (ray start --head starts one)"


def test_runs_start_in_the_order_of_the_sweep(cluster: str, tmp_path: Path) -> None:
    script = f"""
        import time
        import ray
        from hydra_plugins.hydra_ray_launcher import _core, _launcher_util
        from resnet_lit.launchers import _in_one_queue

        def job(**arguments):
            time.sleep(0.1)
            return time.monotonic(), arguments["sweep_config"]

        _launcher_util._run_job = job
        ray.init(address="{cluster}", logging_level="error", log_to_driver=False)
        _in_one_queue(dict(resources=dict(head=1), max_retries=-1))  # one at a time
        started = [_core.launch_job_on_ray(None, None, number, None, None) for number in range(12)]
        print(*[number for _, number in sorted(ray.get(started))])
    """  # a process of its own: Ray's threads outlive it here, and upset the processes that later tests start
    command = [sys.executable, "-c", textwrap.dedent(script)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout.split() == [str(number) for number in range(12)], ran.stderr
