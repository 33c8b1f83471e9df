"""benchmarks.gpu: rehearsed on the CPU, gone on with, and silent where there is no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests_support import ROOT


def bench(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_says_that_there_is_no_gpu_and_ends_well(tmp_path: Path) -> None:
    done = bench("--out", tmp_path / "gpu.json")
    assert done.returncode == 0
    assert "no CUDA GPU" in done.stdout
    assert not (tmp_path / "gpu.json").exists()


@pytest.mark.slow
def test_rehearsal_measures_everything_goes_on_where_it_was_cut_and_makes_the_tables(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    part = bench("--device", "cpu", "--smoke", "--out", out, "--only", "peak,share")
    assert part.returncode == 0, part.stdout + part.stderr
    first = json.loads(out.read_text())["items"]
    assert {item["kind"] for item in first.values()} == {"peak", "share"}

    whole = bench("--device", "cpu", "--smoke", "--out", out)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    result = json.loads(out.read_text())
    assert {key: result["items"][key] for key in first} == first  # what was there is not measured again
    by_kind = {item["kind"]: item for item in result["items"].values()}
    assert set(by_kind) == {"peak", "share", "throughput", "synchronisations", "profile", "training", "loader"}
    assert not any("error" in item for item in by_kind.values())
    assert by_kind["share"]["share_steps"]["n"] >= 5
    assert by_kind["share"]["data"] == "synthetic"
    assert 0 <= by_kind["training"]["metrics"]["test/accuracy"] <= 1
    assert len(result["about"]["sessions"]) == 2

    table = bench("--table", out)
    assert table.returncode == 0
    for text in ("A rehearsal", "framework, steps", "ms a step", "loader alone", "Synchronisations in", "under the profiler"):
        assert text in table.stdout


@pytest.mark.slow
def test_results_of_other_code_are_not_mixed_with_these(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    words = ("--device", "cpu", "--smoke", "--out", out, "--only", "peak")
    bench(*words)
    result = json.loads(out.read_text())
    result["about"]["sources"] = "others"
    out.write_text(json.dumps(result))
    refused = bench(*words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "another sources; use --fresh" in refused.stderr
    assert bench(*words, "--fresh").returncode == 0


def test_what_would_not_end_in_time_is_left_out(tmp_path: Path) -> None:
    done = bench("--device", "cpu", "--smoke", "--out", tmp_path / "gpu.json", "--only", "training", "--minutes", "0.01")
    assert done.returncode == 0
    assert "left out for time: training" in done.stdout
    assert "goes on" in done.stdout
