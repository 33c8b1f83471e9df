"""The GPU kit's parts: CIFAR-10 in strips and back, loads of a given size, what fits into the time, what is brought back."""

from __future__ import annotations

import multiprocessing.dummy
import struct
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_runs import make_run
from tests_support import ROOT, image_tree

from resnet_lit.config import load
from resnet_lit.data import cifar10
from resnet_lit.typed import Refused


@pytest.fixture(autouse=True)
def _in_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(ROOT / "bundle"))


def published(rows: int) -> dict[str, bytes]:
    """Files as the published ones are: a string of pixels in a pickle of protocol 2, with strings of other kinds around it."""
    random = np.random.default_rng(0)
    files = {}
    for name in (*cifar10.TRAIN_FILES, *cifar10.TEST_FILES):
        pixels = random.integers(0, 256, (rows, 3072), dtype=np.uint8).tobytes()
        files[name] = b"\x80\x02]q\x01(U\x05labelT" + struct.pack("<I", len(pixels)) + pixels + b"T\x03\0\0\0\x00\xffze."
    return {**files, cifar10.META_FILE: b"\x80\x02]q\x01(U\x08airplanee."}


def test_the_published_files_come_back_byte_for_byte(tmp_path: Path) -> None:
    from gpu_kit import images

    files, parts = published(images.STRIP + 3), tmp_path / "parts"
    parts.mkdir()
    packed = dict(images.pack(files))
    late = min(name for name in packed if name.endswith(".webp"))
    for name, content in packed.items():
        if name != late:
            (parts / name).write_bytes(content)
    with pytest.raises(Refused, match=r"1 of 12 strips are missing: run \./first of every load"):
        images.unpack(parts, tmp_path)
    (parts / late).write_bytes(packed[late])
    (tmp_path / f"{cifar10.FOLDER}.part").mkdir()  # what a killed call has left
    folder = images.unpack(parts, tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    (parts / late).unlink()
    assert images.unpack(parts, tmp_path) == folder  # once is enough


def test_loads_are_few_of_equal_size_and_none_is_too_large(tmp_path: Path) -> None:
    from make_gpu_kit import shares

    files = [tmp_path / f"{number:03}" for number in range(61)]
    for number, file in enumerate(files):
        file.write_bytes(bytes(2_000_000 if number == 0 else 300_000 + 1000 * number))
    for most in (6e6, 9e6, 14e6, 30e6):
        found = shares(files, most)
        sizes = [sum(file.stat().st_size for file in share) for share in found]
        assert [file for share in found for file in share] == files
        assert max(sizes) <= most
        assert len(found) <= sum(sizes) / (most - 500_000) + 1
        assert max(sizes) - min(sizes) < 800_000


def test_a_kit_of_other_data_is_refused_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from make_gpu_kit import main

    image_tree(tmp_path / "tree")
    (tmp_path / cifar10.FOLDER).mkdir()
    for name, content in published(1).items():
        (tmp_path / cifar10.FOLDER / name).write_bytes(content)
    monkeypatch.delenv("RESNET_LIT_DATA", raising=False)
    for words, text in (
        ([], "DATA=: name the original CIFAR-10 (cifar-10-python.tar.gz or its extracted folder), or none"),
        ([f"--data={tmp_path}/nowhere"], "there is nothing; expected cifar-10-python.tar.gz"),
        ([f"--data={tmp_path}/tree"], "is not the original CIFAR-10"),
        ([f"--data={tmp_path}/{cifar10.FOLDER}"], "published is"),
        (["--data=none", "--mib=2"], "MIB=2: must be at least 6"),
    ):
        monkeypatch.setattr("sys.argv", ["make_gpu_kit.py", *words, f"--out={tmp_path}/out"])
        assert main() == 2
        assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_most_valuable_jobs_decide_how_many_run_at_a_time() -> None:
    from gpu_kit.jobs import best_number, fitting, seconds_of

    assert fitting([300, 300, 50, 50], 1, 500) == (True, False, True, True)
    assert fitting([300, 300, 50, 300], 2, 500) == (True, True, True, False)

    def jobs(*petaflops: float, done: float = 0.0) -> list[Any]:
        return [SimpleNamespace(kind=f"{work}", petaflops=work, fraction=done) for work in petaflops]

    # 21 petaFLOPs at 100 TFLOP/s: 210 s and what a run takes once, with a fifth on top; two share what two reach together
    (job,) = jobs(21.0)
    assert seconds_of(job, {1: 100.0}, 1, {}) == pytest.approx(1.2 * (60 + 210))
    assert seconds_of(job, {2: 150.0}, 2, {}) == pytest.approx(1.2 * (60 + 280))
    assert seconds_of(*jobs(21.0, done=0.5), {1: 100.0}, 1, {}) == pytest.approx(1.2 * (60 + 105))
    assert seconds_of(job, {1: 100.0}, 1, {job.kind: 200.0}) == pytest.approx(1.05 * 200)
    assert seconds_of(job, {}, 1, {}) is None

    both = jobs(21.0, 21.0)
    assert best_number(both, {1: 100.0, 2: 150.0}, 550) == 2  # one after the other ends one of them
    assert best_number(both, {1: 100.0, 2: 100.0}, 550) == 1  # side by side neither ends
    assert best_number(jobs(3.0), {1: 100.0, 2: 150.0, 4: 160.0}, 550) == 1
    assert best_number(both, {}, 550) == 1


def test_a_run_that_was_resumed_has_taken_what_all_calls_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu_kit.jobs import Job
    from gpu_kit.second import Training

    job = Job((), "kind", load(), make_run(tmp_path / "run"))  # 3,600 s by its record
    training = Training([job], {}, 1, 0.0, lambda line: None, tmp_path, is_again=True)  # type: ignore[arg-type]
    monkeypatch.setattr(training, "keep", lambda: None)
    for seconds, measured in ((40.0, 3600.0), (3700.0, 3700.0)):
        training.running = [(job, SimpleNamespace(status=0, seconds=seconds))]  # type: ignore[list-item]
        training.measured.clear()
        training._take_in()
        assert training.measured == {"kind": measured}


def test_what_is_brought_back_is_small_and_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu_kit import kept

    monkeypatch.setattr(kept, "PART", 1000)
    monkeypatch.setattr(kept, "LARGEST", 2600)
    runs, out = [tmp_path / name for name in ("first", "second", "third")], tmp_path / "out"
    out.mkdir()
    for run, size in zip(runs, (3000, 2500, 900), strict=True):
        (run / "checkpoints").mkdir(parents=True)
        (run / "checkpoints" / "last.ckpt").write_bytes(bytes(range(250)) * (size // 250) + bytes(size % 250))
    assert kept.keep_network(runs, out) == str(runs[1] / "checkpoints" / "last.ckpt")
    parts = sorted(out.iterdir())
    assert [path.stat().st_size for path in parts] == [1000, 1000, 500]
    assert b"".join(path.read_bytes() for path in parts) == (runs[1] / "checkpoints" / "last.ckpt").read_bytes()
    kept.keep_network(runs[2:], out)
    assert [path.name for path in out.iterdir()] == ["network.ckpt.00"]
    assert kept.keep_network([tmp_path], out) is None


def test_speed_side_by_side_is_measured_and_read_back(tmp_path: Path) -> None:
    from gpu_kit.second import speeds_in

    from benchmarks.gpu_together import measure

    out = tmp_path / "gpu_together.json"
    assert speeds_in(out) == {}
    result: dict[str, Any] = {"processes": {}}
    measure(Namespace(smoke=True, device="cpu", out=out), result, multiprocessing.dummy)  # threads: nothing is imported again
    speeds = speeds_in(out)
    assert list(speeds) == [1, 2]
    assert all(speed > 0 for speed in speeds.values())
    assert len(result["processes"]["2"]["each"]) == 2
