"""The cache: decoded once, whole or not at all, verified whenever it is read."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from resnet_lit.data import cache, decode, sources

PETS = {"train/cat": 6, "train/dog": 4, "test/cat": 2, "test/dog": 2}


@pytest.fixture
def pets(make_tree, tmp_path: Path) -> Path:
    return make_tree(tmp_path / "pets", PETS)


def entry(tmp_path: Path) -> Path:
    (found,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    return found


def never(*_: object, **__: object) -> None:
    pytest.fail("decodes")


def test_a_later_start_decodes_nothing_and_maps_the_images(load, pets, monkeypatch) -> None:
    first = load("folder", pets)
    monkeypatch.setattr(decode, "decode_layout", never)
    again = load("folder", pets)
    assert again.hash == first.hash
    assert isinstance(again.train_images, np.memmap)
    assert again.train_images.flags.writeable  # or torch.from_numpy would warn
    again.train_images[:] = 0  # a copy on write: the file stays as it is
    assert load("folder", pets).train_images.any()


@pytest.mark.parametrize("damage", ["bit", "short", "missing", "labels", "meta", "mean"])
def test_a_damaged_cache_is_named_and_rebuilt(load, pets, tmp_path, caplog, damage) -> None:
    whole = load("folder", pets)
    pixels = np.array(whole.train_images)  # a copy: the file that is mapped gets damaged
    file = entry(tmp_path) / ("train_labels.npy" if damage == "labels" else "train_images.npy")
    content = bytearray(file.read_bytes())
    meta = entry(tmp_path) / "meta.json"
    if damage in ("bit", "labels"):
        content[-1] ^= 1
        file.write_bytes(content)
    elif damage == "short":
        file.write_bytes(content[:-10])
    elif damage == "missing":
        file.unlink()
    elif damage == "meta":
        meta.write_text(meta.read_text()[:-10])
    else:
        meta.write_text(json.dumps({**json.loads(meta.read_text()), "mean": [0.5, 0.5, 0.5]}))
    with caplog.at_level(logging.WARNING, "resnet_lit"):
        again = load("folder", pets)
    assert again.hash == whole.hash
    assert again.mean == whole.mean
    assert np.array_equal(again.train_images, pixels)
    assert [str(entry(tmp_path)) in record.message and "damaged" in record.message for record in caplog.records] == [True]


def test_another_source_file_or_size_is_another_entry(load, pets, tmp_path) -> None:
    load("folder", pets)
    load("folder", pets, image_size=4)
    os.utime(pets / "train/cat/0000.png", ns=(1, 1))
    load("folder", pets)
    (pets / "train/dog/0000.png").unlink()
    assert len(load("folder", pets).train_labels) == 9
    assert sum(path.is_dir() for path in (tmp_path / "cache").iterdir()) == 4


def test_a_failed_decoding_leaves_nothing(load, pets, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cache, "_statistics", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        load("folder", pets)
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []
    monkeypatch.undo()
    assert len(load("folder", pets).train_labels) == 10


KILLED = """
import sys, time
from resnet_lit.data import sources
def stall(done, total, text):
    if total:
        print("decoding", flush=True); time.sleep(60)
sources.load("folder", sys.argv[1], cache_dir=sys.argv[2], progress=stall)
"""


def test_a_killed_decoding_is_done_anew(load, pets, tmp_path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(pets), str(tmp_path / "cache")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "decoding\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list((tmp_path / "cache").glob("*.partial"))
    data = load("folder", pets)
    assert len(data.train_labels) == 10
    assert not list((tmp_path / "cache").glob("*.partial"))


TOGETHER = """
import sys, time
from pathlib import Path
from resnet_lit.data import decode, sources
real = decode.decode_layout
def counted(*arguments, **options):
    with open(sys.argv[3], "a") as file:
        file.write("x")
    time.sleep(0.5)
    return real(*arguments, **options)
decode.decode_layout = counted
while not Path(sys.argv[4]).exists():
    time.sleep(0.01)
print(sources.load("folder", sys.argv[1], cache_dir=sys.argv[2]).hash)
"""


def test_of_eight_processes_one_decodes(pets, tmp_path) -> None:
    words = [str(pets), str(tmp_path / "cache"), str(tmp_path / "count"), str(tmp_path / "go")]
    processes = [subprocess.Popen([sys.executable, "-c", TOGETHER, *words], stdout=subprocess.PIPE, text=True) for _ in range(8)]
    time.sleep(1)
    (tmp_path / "go").touch()
    hashes = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 8
    assert len(hashes) == 1
    assert (tmp_path / "count").read_text() == "x"


def test_one_who_waits_is_told(load, pets, tmp_path, monkeypatch) -> None:
    name = entry_name(load, pets, tmp_path)
    monkeypatch.setattr(cache, "WAIT_SECONDS", 0.05)
    lock = cache.FileLock(tmp_path / "other" / f"{name}.lock")
    (tmp_path / "other").mkdir()
    lock.acquire()
    seen: list[str] = []

    def progress(done: int, total: int, text: str) -> None:
        seen.append(text)
        lock.release()

    load("folder", pets, cache_dir=tmp_path / "other", progress=progress)
    assert seen[0] == "waiting for another process that decodes the images"


def entry_name(load, pets: Path, tmp_path: Path) -> str:
    load("folder", pets)
    return entry(tmp_path).name


def test_a_source_that_cannot_be_written_to_is_read(load, pets) -> None:
    folders = [pets, *(path for path in pets.rglob("*") if path.is_dir())]
    try:
        for folder in folders:
            folder.chmod(0o555)
        assert len(load("folder", pets).train_labels) == 10
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_cache_that_cannot_be_written_names_its_key(refusal, pets, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    text = refusal(
        "folder", pets, key=f"data.cache={tmp_path / 'file/cache'}: cannot be written", cache_dir=tmp_path / "file/cache"
    )
    assert "data.cache=<folder> or RESNET_LIT_CACHE" in text


def test_a_full_disk_names_the_cache(refusal, pets, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    assert "No space left on device" in refusal("folder", pets, key="data.cache=")


def test_a_whole_cache_is_read_without_the_lock(load, pets, tmp_path, monkeypatch) -> None:
    load("folder", pets)
    monkeypatch.setattr(cache, "_locked", never)
    assert len(load("folder", pets).train_labels) == 10


def test_identify_reads_no_array(load, pets, tmp_path, monkeypatch) -> None:
    data = load("folder", pets)
    monkeypatch.setattr(np, "load", never)
    assert sources.identify("folder", pets, cache_dir=tmp_path / "cache") == ("folder", data.hash)
