"""The bundle and the GPU kit for a machine without network: they run there with nothing of ours installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests_support import ROOT, wait_for

from resnet_lit.record import is_held, read

# Such a machine, played: these are found in the bundle or not at all. Python runs a sitecustomize.py before anything else.
OURS = "resnet_lit benchmarks hydra hydra_plugins omegaconf antlr4 joblib rich markdown_it mdurl pygments"
BARE = f"""
import os, sys
from importlib.machinery import PathFinder

class Bare:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is not None or name not in {OURS.split()}:
            return None
        found = PathFinder.find_spec(name, [os.environ["BUNDLE"] + "/lib"])
        if found is None:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return found

sys.meta_path.insert(0, Bare)
"""


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one load of a kit without images."""
    out = tmp_path_factory.mktemp("kit")
    made = subprocess.run(
        [sys.executable, ROOT / "bundle" / "make_gpu_kit.py", "--data=none", f"--out={out}"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert made.stdout.splitlines()[-1].startswith(f"{out}/1: ")
    assert [path.name for path in out.iterdir()] == ["1"]
    return out / "1"


@pytest.mark.slow
def test_a_kit_checks_trains_and_resumes_where_neither_hydra_nor_the_package_is_installed(load: Path, tmp_path: Path) -> None:
    work, out, bare = tmp_path / "work", tmp_path / "out", tmp_path / "bare"
    assert (load / "resnet_lit.tar.gz").stat().st_size < 10e6
    bare.mkdir()
    (bare / "sitecustomize.py").write_text(BARE)
    environment = {**os.environ, "PYTHONPATH": str(bare), "BUNDLE": str(work), "PYTHON": sys.executable}
    environment |= {"GPU_WORK": str(work), "OUT": str(out)}
    first = subprocess.run([load / "first", "--seconds=0"], capture_output=True, text=True, env=environment)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "4,977,226" in first.stdout
    assert sorted(path.name for path in work.iterdir()) == ["README.md", "lib", "parts", "run"]

    sweep = ["+sweep=paper", "+scale=smoke", "data=digits", "+cell=model4_adam", "trainer.max_steps=2"]
    sweep += ["hydra/launcher=side_by_side"]
    ended = subprocess.run(["./run", *sweep], cwd=work, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 of 1 finished" in ended.stdout

    jobs = tmp_path / "jobs.yaml"
    tiny = "'model.blocks=[1,1]', 'model.channels=[4,8]', trainer.max_epochs=60, trainer.max_steps=480"
    jobs.write_text(
        f"- {{overrides: [+experiment=nowhere], seeds: 2}}\n- {{overrides: [+experiment=digits, {tiny}], seeds: 1}}\n"
    )
    second = [load / "second", "--smoke", "--no-speed", f"--jobs={jobs}"]
    cut = subprocess.Popen(second, env=environment)
    checkpoints = work / "outputs" / "digits-smoke"
    wait_for(lambda: list(checkpoints.glob("*/checkpoints/last.ckpt")))
    cut.kill()
    cut.wait()
    (folder,) = checkpoints.iterdir()
    wait_for(lambda: not is_held(folder))
    cut_at = read(folder)
    assert cut_at is not None
    assert cut_at["status"] == "interrupted"

    ended = subprocess.run(second, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "+experiment=nowhere: left out: experiment=nowhere: no such experiment" in ended.stdout
    assert "seed=0: resumed" in ended.stdout
    found = read(folder)
    assert found is not None
    assert (found["status"], found["steps"], len(found["sessions"])) == ("finished", 480, 2)
    with tarfile.open(out / "outputs.tar.gz") as brought:
        brought.extractall(tmp_path / "brought", filter="data")
    assert read(tmp_path / "brought" / folder.relative_to(work)) == found
    assert not list((tmp_path / "brought").rglob("*.ckpt"))
    assert (out / "network.ckpt.00").read_bytes() == (folder / "checkpoints" / "best.ckpt").read_bytes()
    assert "seed=0: finished, test accuracy" in (out / "second.log").read_text()
