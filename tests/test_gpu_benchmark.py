"""benchmarks.gpu: rehearsed on the CPU, gone on with, and silent where there is no GPU."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests_support import ROOT

Bench = Callable[..., int]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """`bench("--list")`: the command's exit status."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.gpu import main

    return lambda *words: main([str(word) for word in words])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_says_that_there_is_no_gpu_and_ends_well(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--out", tmp_path / "gpu.json") == 0
    assert "no CUDA GPU" in capsys.readouterr().out
    assert not (tmp_path / "gpu.json").exists()


def test_what_would_not_end_in_time_is_left_out(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--device", "cpu", "--smoke", "--out", tmp_path / "gpu.json", "--minutes", "0.2", "--only")
    assert bench(*words, "peak,training") == 0
    assert "left out for time: training" in capsys.readouterr().out
    assert list(json.loads((tmp_path / "gpu.json").read_text())["items"]) == ["peak"]


def test_results_of_other_code_are_not_mixed_with_these(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    words = ("--device", "cpu", "--smoke", "--out", out, "--only", "peak")
    assert bench(*words) == 0
    result = json.loads(out.read_text())
    result["about"]["sources"] = "others"
    out.write_text(json.dumps(result))
    assert bench(*words) == 2
    assert "another sources; use --fresh" in capsys.readouterr().err
    assert bench(*words, "--fresh") == 0


def test_fresh_measures_the_named_kinds_again_and_keeps_the_others(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    words = ("--device", "cpu", "--smoke", "--out", out)
    assert bench(*words, "--only", "peak,loader") == 0
    before = json.loads(out.read_text())["items"]
    assert bench(*words, "--only", "loader", "--fresh") == 0
    after = json.loads(out.read_text())["items"]
    loader = next(key for key in before if key.startswith("loader"))
    assert after["peak"] == before["peak"]
    assert after[loader] != before[loader]


def test_what_failed_is_measured_again(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.gpu import Bench as Measuring

    out = tmp_path / "gpu.json"
    words = ("--device", "cpu", "--smoke", "--out", out, "--only", "peak")
    with monkeypatch.context() as broken:
        broken.setattr(Measuring, "peak", lambda self, item: 1 / 0)
        assert bench(*words) == 1
    assert "ZeroDivisionError" in json.loads(out.read_text())["items"]["peak"]["error"]
    assert bench(*words) == 0
    assert "error" not in json.loads(out.read_text())["items"]["peak"]


def test_synchronisations_are_found_where_they_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.gpu_framework import Synchronisations
    from resnet_lit.module import Tally

    class Waits:  # stands in for a tensor on a GPU, whose value torch warns of
        def __truediv__(self, other: object) -> Waits:
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
            return self

    watch = Synchronisations("unused", 0, 1)
    watch.open(None)  # type: ignore[arg-type]
    Tally.compute(SimpleNamespace(loss=Waits(), correct=Waits(), count=Waits()))  # type: ignore[arg-type]
    found = watch.close()
    assert found["at_readings"] == {}
    assert [place.split("/")[-1].split(":")[0] for place in found["elsewhere"]] == ["module.py"]
    assert sum(found["elsewhere"].values()) == 2


@pytest.mark.slow
def test_rehearsal_measures_everything_goes_on_where_it_was_cut_and_makes_the_tables(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    words = ("--device", "cpu", "--smoke", "--out", out)
    assert bench(*words, "--only", "peak,share") == 0
    first = json.loads(out.read_text())["items"]
    assert {item["kind"] for item in first.values()} == {"peak", "share"}

    assert bench(*words) == 0
    result = json.loads(out.read_text())
    assert {key: result["items"][key] for key in first} == first  # what was there is not measured again
    by_kind = {item["kind"]: item for item in result["items"].values()}
    assert set(by_kind) == {"peak", "share", "throughput", "synchronisations", "profile", "training", "loader"}
    assert not any("error" in item for item in by_kind.values())
    assert by_kind["share"]["share_steps"]["n"] >= 5
    assert by_kind["share"]["data"] == "synthetic"
    assert 0 <= by_kind["training"]["metrics"]["test/accuracy"] <= 1
    assert len(result["about"]["sessions"]) == 2

    capsys.readouterr()
    assert bench("--table", out) == 0
    table = capsys.readouterr().out
    for text in ("A rehearsal", "framework, steps", "ms a step", "loader alone", "Synchronisations in", "under the profiler"):
        assert text in table
