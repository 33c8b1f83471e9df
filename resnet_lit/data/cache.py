"""Decoded images on disk: written once, whole or not at all, verified whenever they are read.

<cache>/cifar10-0123456789abcdef/        meta.json  train_images.npy  train_labels.npy  test_images.npy  test_labels.npy
                                         (validation_images.npy  validation_labels.npy where the data have such a part)
<cache>/cifar10-0123456789abcdef.lock    held by the one process that decodes
<cache>/cifar10-0123456789abcdef.partial what an interrupted decoding left; the next one removes it
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from resnet_lit.data.errors import DataError, Progress, reason
from resnet_lit.data.paths import Place
from resnet_lit.durable import sync

log = logging.getLogger("resnet_lit")

META = "meta.json"
WAIT_SECONDS = 5.0  # between two notices that another process is decoding


@dataclass(frozen=True)
class Entry:
    """Arrays (images memory-mapped, copy on write) and what is known of them."""

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


class Damaged(Exception):
    """A cache entry that is not as it was written."""


class Writer:
    """What a decoder fills: `<part>_images` and `<part>_labels` of each part of the data."""

    def __init__(self, folder: Path, cache_dir: Place) -> None:
        self.folder, self.cache_dir = folder, cache_dir

    def create(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """An empty uint8 array of `shape`, on disk, to be filled."""
        with writing(self.cache_dir):
            path = self.folder / f"{name}.npy"
            array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
            _reserve(path)
            return array

    def put(self, name: str, array: np.ndarray) -> None:
        """Write a whole array."""
        if array.dtype == np.uint8:
            self.create(name, array.shape)[:] = array
            return
        with writing(self.cache_dir):
            np.save(self.folder / f"{name}.npy", array)


def known(cache_dir: Path, name: str) -> dict[str, Any] | None:
    """What is known of an entry, without reading its arrays; None where there is none or it is damaged."""
    try:
        return _meta(cache_dir / name)
    except (OSError, Damaged):
        return None


def get(cache_dir: Place, name: str, decode: Callable[[Writer], dict[str, Any]], progress: Progress) -> Entry:
    """The entry `name`, decoded first where it is not there or damaged. Of processes that start together, one decodes.

    decode: fills a Writer and returns what is to be known of the data: classes, variant, …. Raises DataError where the
    cache cannot be written, and what `decode` raises.
    """
    folder = cache_dir.path / name
    try:
        return _read(folder)  # without the lock: the cache may be read-only
    except (OSError, Damaged):
        pass
    with _locked(cache_dir, name, progress):
        try:
            return _read(folder)  # another process may have decoded meanwhile
        except FileNotFoundError:
            pass
        except (OSError, Damaged) as error:
            log.warning("%s: damaged (%s): the images are decoded again", folder, reason(error))
        _write(cache_dir, name, decode)
        return _read(folder)


@contextmanager
def writing(cache_dir: Place) -> Iterator[None]:
    """Turn what the operating system says against writing into a DataError that names the key of the folder."""
    try:
        yield
    except (OSError, NotImplementedError) as error:
        raise DataError(
            f"{cache_dir}: cannot be written ({reason(error)}); choose another folder with "
            "data.cache=<folder> or RESNET_LIT_CACHE"
        ) from error


@contextmanager
def _locked(cache_dir: Place, name: str, progress: Progress) -> Iterator[None]:
    with writing(cache_dir):
        cache_dir.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache_dir.path / f"{name}.lock")
        while True:
            try:
                lock.acquire(timeout=WAIT_SECONDS)
                break
            except Timeout:
                progress(0, 0, "waiting for another process that decodes the images")
    try:
        yield
    finally:
        lock.release()


def _write(cache_dir: Place, name: str, decode: Callable[[Writer], dict[str, Any]]) -> None:
    partial, folder = cache_dir.path / f"{name}.partial", cache_dir.path / name
    with writing(cache_dir):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    try:
        meta = decode(Writer(partial, cache_dir))
        with writing(cache_dir):
            arrays = {path.stem: np.load(path, mmap_mode="r") for path in sorted(partial.glob("*.npy"))}
            mean, std = _statistics(arrays["train_images"])
            described = {array: _describe(value) for array, value in arrays.items()}
            meta = {**meta, "mean": mean, "std": std, "arrays": described}
            meta["hash"] = _content_hash(meta)
            meta["check"] = _check(meta)
            (partial / META).write_text(json.dumps(meta, indent=1))
            for path in partial.iterdir():
                sync(path)
            sync(partial)
            shutil.rmtree(folder, ignore_errors=True)  # a damaged one; who still maps it keeps it
            partial.rename(folder)
            sync(cache_dir.path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read(folder: Path) -> Entry:
    """Raises FileNotFoundError, OSError or Damaged."""
    meta = _meta(folder)
    arrays: dict[str, np.ndarray] = {}
    for name, described in meta["arrays"].items():
        try:
            # copy on write: writable, as torch wants it, and the file is never changed
            array = np.load(folder / f"{name}.npy", mmap_mode="c")
        except (ValueError, EOFError, FileNotFoundError) as error:
            raise Damaged(f"{name}.npy: {reason(error)}") from error
        if _describe(array) != described:
            raise Damaged(f"{name}.npy: its sha256 is not the one it was written with")
        arrays[name] = array if name.endswith("images") else np.array(array)
    return Entry(arrays, meta)


def _meta(folder: Path) -> dict[str, Any]:
    text = (folder / META).read_bytes()
    try:
        meta = json.loads(text)
        if meta["check"] != _check(meta) or meta["hash"] != _content_hash(meta):
            raise Damaged(f"{META}: is not as it was written")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{META}: {reason(error)}") from error
    return meta


def _describe(array: np.ndarray) -> dict[str, Any]:
    # the digest is over the pixels alone: the header of the file may differ between versions of numpy
    digest = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
    return {"shape": list(array.shape), "dtype": array.dtype.str, "sha256": digest}


def _content_hash(meta: dict[str, Any]) -> str:
    """sha256 over pixels, labels and class names: the same whatever form the data came in."""
    content = {"classes": list(meta["classes"]), "arrays": meta["arrays"]}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check(meta: dict[str, Any]) -> str:
    rest = {key: value for key, value in meta.items() if key != "check"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of images (N, C, H, W) uint8, of pixels in [0, 1]; exact sums."""
    n, channels, height, width = images.shape
    total, squares = [0] * channels, [0] * channels
    rows = max(1, (1 << 22) // (channels * height * width))
    for start in range(0, n, rows):
        chunk = images[start : start + rows].astype(np.uint32)
        for channel in range(channels):
            total[channel] += int(chunk[:, channel].sum(dtype=np.uint64))
            squares[channel] += int(np.square(chunk[:, channel]).sum(dtype=np.uint64))
    pixels = n * height * width
    variance = [(pixels * s - t * t) / pixels**2 for t, s in zip(total, squares, strict=True)]
    return [t / pixels / 255 for t in total], [v**0.5 / 255 for v in variance]


def _reserve(path: Path) -> None:
    """Claim the disk space of a file: a full disk is an error now, not a bus error while the mapped array is filled."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # file systems that cannot
                raise
