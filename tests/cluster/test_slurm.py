"""A real SLURM of one node, started in a folder by slurm.sh: casualties, preemption, and what is done without accounting."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support import TINY, start, statuses, wait_for

from resnet_lit.record import read

PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
NEEDED = {False: ("slurmctld", "slurmd", "munged", "sbatch"), True: ("slurmdbd", "mariadbd", "mariadb-install-db")}
SCRIPT = Path(__file__).with_name("slurm.sh")
for program in NEEDED[False]:
    if shutil.which(program, path=PATH) is None:
        pytest.skip(f"no {program}: apt-get install slurm-wlm munge", allow_module_level=True)
pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CELLS = ("-m", *TINY, "hydra/launcher=slurm", "hydra.launcher.partition=main", "hydra.launcher.cpus_per_task=1")


@pytest.fixture(scope="module", params=[False, True], ids=["without accounting", "with accounting"])
def slurm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[bool]:
    """A SLURM with two cores; whether it keeps accounts."""
    accounting = ["accounting"] if request.param else []
    for program in NEEDED[request.param]:
        if shutil.which(program, path=PATH) is None:
            pytest.skip(f"no {program}: apt-get install slurmdbd mariadb-server")
    folder = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CPUS", "2")
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        log = folder / "start.log"
        with log.open("w") as file:  # no pipe: the daemons would keep it open
            begun = subprocess.run([SCRIPT, "start", folder, *accounting], stdout=file, stderr=file, timeout=200)
        assert begun.returncode == 0, log.read_text()
        yield request.param
        subprocess.run([SCRIPT, "stop", folder], check=True, timeout=100)


def scontrol(*words: str) -> str:
    return subprocess.run(["scontrol", *words], capture_output=True, text=True, timeout=60, check=True).stdout


def jobs(*options: str) -> list[str]:
    """The jobs in the queue, one number each."""
    listed = subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%i", *options], capture_output=True, text=True, timeout=60, check=True
    )
    return listed.stdout.split()


def test_casualties_are_named_the_rest_finishes_and_the_next_typing_repairs_it(slurm: bool, tmp_path: Path) -> None:
    sweep = (*CELLS, "seed=0,1,2,3", "+callbacks.casualties._target_=casualties.Casualties")
    sweep += ("+callbacks.casualties.raises=[1]", "+callbacks.casualties.killed=[2]", "+callbacks.casualties.orphaned=[3]")
    driver = start(*sweep, cwd=tmp_path)  # seed 3 loses its job, and SLURM with it the result
    output = driver.communicate()[0]
    assert driver.returncode == 1, output
    assert ("SLURM keeps no accounting here" in output) is not slurm
    assert "1 of 4 finished" in output
    assert "an accident" in output
    assert "killed" in output
    assert "ended by SIGTERM" in output
    assert "Traceback" not in output

    again = start(*sweep, cwd=tmp_path)
    output = again.communicate()[0]
    assert again.returncode == 0, output
    assert "4 of 4 finished" in output


def test_preempted_jobs_are_queued_again_and_their_runs_go_on(slurm: bool, tmp_path: Path) -> None:
    driver = start(*CELLS, "trainer.max_epochs=150", "seed=0,1", cwd=tmp_path)
    folder = tmp_path / "outputs" / "digits"
    wait_for(lambda: len(list(folder.glob("*/checkpoints/last.ckpt"))) == 2, 150)
    first, second = sorted(jobs("--states=running"))
    subprocess.run(["scancel", "--signal=USR1", first], check=True)  # as SLURM does before the time limit
    wait_for(lambda: first in jobs("--states=pending"), 60)
    urgent = ["sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=true"]
    subprocess.run(urgent, check=True, capture_output=True, timeout=60)  # wants the whole node
    wait_for(lambda: {first, second} <= {*jobs("--states=pending")}, 60)
    assert set(statuses(folder)) == {"interrupted"}
    for job in (first, second):
        scontrol("update", f"jobid={job}", "starttime=now")  # SLURM would wait for two minutes
    output = driver.communicate()[0]
    assert driver.returncode == 0, output
    assert "2 of 2 finished" in output
    found = [record for path in folder.glob("*/result.json") if (record := read(path.parent))]
    assert [len(record["sessions"]) for record in found] == [2, 2]
    assert [record["epochs"] for record in found] == [150, 150]
