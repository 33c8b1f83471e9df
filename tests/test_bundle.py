"""The bundle for a machine without network: unpacked into an empty folder, it runs with nothing of ours installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests_support import ROOT

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


@pytest.mark.slow
def test_a_bundle_trains_where_neither_hydra_nor_the_package_is_installed(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "bundle" / "make.py", f"--out={tmp_path}"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    assert made.stdout.split()[-1] == str(archive)
    assert archive.stat().st_size < 10e6
    there, bare = tmp_path / "there", tmp_path / "bare"
    with tarfile.open(archive) as packed:
        packed.extractall(there, filter="data")
    assert sorted(path.name for path in there.iterdir()) == ["README.md", "lib", "run"]
    bare.mkdir()
    (bare / "sitecustomize.py").write_text(BARE)
    environment = {**os.environ, "PYTHONPATH": str(bare), "BUNDLE": str(there), "PYTHON": sys.executable}
    sweep = ["+sweep=paper", "+scale=smoke", "data=digits", "+cell=model4_adam", "trainer.max_steps=2"]
    sweep += ["hydra/launcher=side_by_side"]
    ended = subprocess.run(["./run", *sweep], cwd=there, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 of 1 finished" in ended.stdout
    found = [json.loads(path.read_text()) for path in there.glob("outputs/model4-smoke/*/result.json")]
    assert [record["status"] for record in found] == ["finished"]

    summary = subprocess.run(
        ["./run", "summary", "+experiment=model4"], cwd=there, capture_output=True, text=True, env=environment
    )
    assert "4,977,226" in summary.stdout, summary.stderr
