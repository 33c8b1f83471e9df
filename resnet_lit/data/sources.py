"""The images of one data set as arrays: found, verified, decoded once into a cache, and from then on memory-mapped.

    data = load("cifar10", "cifar-10-python.tar.gz", cache_dir="~/.cache/resnet_lit")
    data.train_images.shape      # (50000, 3, 32, 32), uint8

What is read: the original archive of CIFAR-10 or its extracted folder (md5 of the publisher, checked before a pickle is
touched); a tree train/<class>/<image> with or without test/, or <class>/<image> alone; a .tar.gz or .tar.xz of such a
tree, which is never extracted; the digits of scikit-learn. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resnet_lit.data import archive, cache, cifar10, decode, tree
from resnet_lit.data.digits import CLASSES as DIGITS
from resnet_lit.data.digits import read_digits
from resnet_lit.data.download import DownloadError, download
from resnet_lit.data.errors import DataError, Progress, Unusable, ignore_progress, reason
from resnet_lit.data.locate import Found, find
from resnet_lit.data.paths import place_of

__all__ = ["DataError", "DataSet", "identify", "load"]

FORMAT = 1  # of the cache: raised when the same source decodes to something else


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images (N, C, H, W) uint8, memory-mapped (copy on write), labels (N,) int64, and what is known of them.

    hash: sha256 over pixels, labels and class names. mean, std: per channel, of the training pixels in [0, 1].
    test_origin: whether the test part was given, or held out of the training images here.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    variant: str  # cifar10 (published checksums matched) | cifar10-jpeg | cifar10-png | digits | folder
    hash: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    test_origin: Literal["given", "held out"]


def load(
    kind: str,
    root: str | Path | None,
    *,
    cache_dir: str | Path,
    image_size: int | None = None,
    test_fraction: float = 0.2,
    progress: Progress | None = None,
) -> DataSet:
    """The data set `kind` (cifar10, digits, folder) at `root`.

    root: a file or folder. cifar10 with None, an empty or a missing folder: the original is downloaded into it, None
    standing for `<cache_dir>/downloads`. image_size (folder): resize to that square. test_fraction (folder): what is
    held out where there is no test/. progress(done, total, text) is called now and then.

    Raises DataError.
    """
    _check_size(kind, image_size)
    cache_dir = Path(cache_dir).expanduser()
    progress = progress or ignore_progress
    with _named(root):
        found = None if kind == "digits" else _find(kind, root, cache_dir) or _missing(kind, root, cache_dir, progress)

    def decode_source(writer: cache.Writer) -> dict[str, Any]:
        if found is None:
            return _decode_digits(writer)
        with _named(root, found):
            meta = _decode(found, kind, writer, image_size, test_fraction, progress)
            if (now := _find(kind, root, cache_dir)) is None or now.stamp != found.stamp:
                raise Unusable("has changed while it was read; try again when it is complete")
            return meta

    entry = cache.get(cache_dir, _entry_name(kind, found, image_size, test_fraction), decode_source, progress)
    meta = entry.meta
    return DataSet(
        **entry.arrays,
        classes=tuple(meta["classes"]),
        variant=meta["variant"],
        hash=meta["hash"],
        mean=tuple(meta["mean"]),
        std=tuple(meta["std"]),
        test_origin=meta["test_origin"],
    )


def identify(
    kind: str,
    root: str | Path | None,
    *,
    cache_dir: str | Path,
    image_size: int | None = None,
    test_fraction: float = 0.2,
) -> tuple[str, str] | None:
    """(variant, hash) of what `load` would give, where it has been decoded before; else None, whatever the cause."""
    cache_dir = Path(cache_dir).expanduser()
    try:
        found = None if kind == "digits" else _find(kind, root, cache_dir)
    except (OSError, Unusable):
        return None
    if found is None and kind != "digits":
        return None
    meta = cache.known(cache_dir, _entry_name(kind, found, image_size, test_fraction))
    return None if meta is None else (meta["variant"], meta["hash"])


def _check_size(kind: str, image_size: int | None) -> None:
    if kind not in ("cifar10", "digits", "folder"):
        raise DataError(f"data.name={kind}: must be one of cifar10, digits, folder")
    if kind != "folder" and image_size not in (None, cifar10.SIZE):
        raise DataError(f"data.image_size={image_size}: {kind} has 32x32 pixels, only data=folder resizes (try null)")


@contextmanager
def _named(root: str | Path | None, found: Found | None = None) -> Iterator[None]:
    """Turn what is wrong with a source into a DataError that begins with the key, and says what was found there."""
    key = f"data.root={'null' if root is None else root}"
    if found is not None and (root is None or found.path != Path(root).expanduser().resolve()):
        key += f": in {found.path.name}"
    try:
        yield
    except Unusable as error:
        raise DataError(f"{key}: {error}") from error
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        raise DataError(f"{key}: {file}cannot be read ({reason(error)})") from error


def _find(kind: str, root: str | Path | None, cache_dir: Path) -> Found | None:
    return None if kind == "folder" and root is None else find(place_of(root, cache_dir), kind)


def _missing(kind: str, root: str | Path | None, cache_dir: Path, progress: Progress) -> Found:
    """There is nothing: CIFAR-10 is downloaded, anything else must be given."""
    if kind == "folder":
        what = "no folder is named" if root is None else "no images are there"
        raise Unusable(f"{what}: data.root=DIR must hold train/<class>/<image>, and may hold test/<class>/<image>")
    place = place_of(root, cache_dir)
    try:
        download(cifar10.URL, place / cifar10.ARCHIVE, cifar10.ARCHIVE_MD5, progress)
    except (DownloadError, OSError) as error:
        why = f"{error.filename}: {reason(error)}" if isinstance(error, OSError) and error.filename else reason(error)
        raise Unusable(
            f"no images are there, and downloading {cifar10.URL} failed ({why}); set RESNET_LIT_DATA or data.root to "
            f"{cifar10.ARCHIVE}, to its extracted folder, or to a tree train/<class>/*.png with test/<class>/*.png"
        ) from error
    found = find(place / cifar10.ARCHIVE, kind)
    assert found is not None
    return found


def _entry_name(kind: str, found: Found | None, image_size: int | None, test_fraction: float) -> str:
    """The name of a cache entry: another one for another source, or for other pixels of the same."""
    options = [image_size, test_fraction] if kind == "folder" else []
    key = json.dumps([FORMAT, kind, found.stamp if found else None, *options])
    return f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _decode_digits(writer: cache.Writer) -> dict[str, Any]:
    for name, array in read_digits().items():
        writer.put(name, array)
    return {"classes": DIGITS, "variant": "digits", "test_origin": "held out"}


def _decode(
    found: Found, kind: str, writer: cache.Writer, image_size: int | None, test_fraction: float, progress: Progress
) -> dict[str, Any]:
    """Decode any source but the digits into `writer`; what is to be known of it."""
    files: list[str]
    folders: list[str]
    if found.form == "archive":
        progress(0, 0, f"reading {found.path.name}")
        files, folders = archive.listing(found.path)
    else:
        files, folders = [file.path for file in found.files], list(found.folders)
    names = {name.rsplit("/", 1)[-1]: name for name in files}
    if names.keys() & set(cifar10.TRAIN_FILES):
        return _decode_original(found, names, kind, writer)

    images = [name for name in files if tree.is_image(name)]
    prefix = tree.prefix_of(images) if found.form == "archive" else ""
    layout = tree.arrange(_below(prefix, images), _below(prefix, folders))
    if kind == "cifar10":
        cifar10.check_tree(layout)
    origin = "given" if layout.test else "held out"
    layout = layout if layout.test else tree.hold_out(layout, test_fraction)
    assert layout.test is not None
    formats = decode.decode_layout(
        layout,
        _contents(found, prefix, (*layout.train.paths, *layout.test.paths)),
        writer.create,
        image_size=image_size if kind == "folder" else None,
        expected=cifar10.SIZE if kind == "cifar10" else None,
        progress=progress,
    )
    writer.put("train_labels", layout.train.labels)
    writer.put("test_labels", layout.test.labels)
    variant = cifar10.variant_of(formats) if kind == "cifar10" else "folder"
    return {"classes": layout.classes, "variant": variant, "test_origin": origin}


def _below(prefix: str, names: Iterable[str]) -> list[str]:
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]


def _contents(found: Found, prefix: str, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """(path, content) of each of `paths`, in the order that suits the source."""
    if found.form == "archive":
        for name, content in archive.read(found.path, {f"{prefix}{path}" for path in paths}):
            yield name.removeprefix(prefix), content
    else:
        for path in paths:
            yield path, (found.path / path).read_bytes()


def _decode_original(found: Found, names: dict[str, str], kind: str, writer: cache.Writer) -> dict[str, Any]:
    """The published pickles, in their archive or in their folder. names: {published name: member or file}."""
    if kind != "cifar10":
        raise Unusable("holds the original CIFAR-10: use data=cifar10")
    if found.form == "archive":
        cifar10.check_archive(found.path)
    content = dict(_contents(found, "", [names[name] for name in cifar10.FILES if name in names]))
    arrays, classes = cifar10.read_batches(lambda name: content[names[name]])
    for name, array in arrays.items():
        writer.put(name, array)
    return {"classes": classes, "variant": "cifar10", "test_origin": "given"}
