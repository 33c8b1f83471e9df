"""The images of one data set as arrays: found, verified, decoded once into a cache, and from then on memory-mapped.

    data = load("cifar10", "cifar-10-python.tar.gz", cache_dir="~/.cache/resnet_lit")
    data.train_images.shape      # (50000, 3, 32, 32), uint8

What is read: the original archive of CIFAR-10 or its extracted folder (md5 of the publisher, checked before a pickle is
touched); a tree train/<class>/<image> with or without test/ and val/, or <class>/<image> alone; a .tar.gz or .tar.xz of
such a tree, which is never extracted; the digits of scikit-learn. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resnet_lit.data import archive, cache, cifar10, decode, foreign, leftovers, tree
from resnet_lit.data.digits import CLASSES as DIGITS
from resnet_lit.data.digits import read_digits
from resnet_lit.data.download import DownloadError, download
from resnet_lit.data.errors import DataError, Progress, Unusable, ignore_progress, reason
from resnet_lit.data.locate import EXPECTED, Found, find
from resnet_lit.data.paths import Place, download_place, place
from resnet_lit.printable import printable

__all__ = ["DataError", "DataSet", "identify", "load"]

# Of a cache entry, by the form of its source: raised when the same source decodes to something else.
FORMATS = {"digits": 1, "batches": 1, "archive": 2, "tree": 2}  # 2: with a validation part, and with what was left out


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images (N, C, H, W) uint8, memory-mapped (copy on write), labels (N,) int64, and what is known of them.

    hash: sha256 over pixels, labels and class names. mean, std: per channel, of the training pixels in [0, 1].
    test_origin: whether the test part was given, or held out of the training images here. validation_*: of the part that the
    data bring along, None where they bring none; validation_folder is its name there. left_out: what lies beside the images
    and was not read, in phrases.
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
    validation_images: np.ndarray | None = None
    validation_labels: np.ndarray | None = None
    validation_folder: str | None = None
    left_out: tuple[str, ...] = ()


def load(
    kind: str,
    root: str | Path | Place | None,
    *,
    cache_dir: str | Path | Place,
    download_to: str | Path | Place | None = None,
    image_size: int | None = None,
    test_fraction: float = 0.2,
    for_training: bool = True,
    progress: Progress | None = None,
) -> DataSet:
    """The data set `kind` (cifar10, digits, folder) at `root`; `paths.request` gives these arguments for a config.

    root: a file or folder, which must be there. cifar10 with None: the original, which is downloaded where it is not yet in
    `download_to` (None: `<cache_dir>/downloads`). image_size (folder): resize to that square. test_fraction (folder): what is
    held out where there is no test/. for_training=False: one class suffices, and a class may be in one part alone.
    progress(done, total, text) is called now and then.

    Raises DataError.
    """
    source = _Source(kind, root, cache_dir, download_to)
    _check(source, image_size)
    progress = progress or ignore_progress
    with source.named():
        found = None if kind == "digits" else source.find() or _missing(source, progress)

    def decode_source(writer: cache.Writer) -> dict[str, Any]:
        if found is None:
            return _decode_digits(writer)
        with source.named(found):
            meta = _decode(found, kind, writer, image_size, test_fraction, for_training, progress)
            if (now := source.find()) is None or now.stamp != found.stamp:
                raise Unusable("has changed while it was read; try again when it is complete")
            return meta

    entry = cache.get(source.cache, _entry_name(kind, found, image_size, test_fraction), decode_source, progress)
    meta = entry.meta
    beside = found.beside if found is not None and kind == "folder" else ()
    data = DataSet(
        **entry.arrays,
        classes=tuple(map(tree.class_name, meta["classes"])),
        variant=meta["variant"],
        hash=meta["hash"],
        mean=tuple(meta["mean"]),
        std=tuple(meta["std"]),
        test_origin=meta["test_origin"],
        validation_folder=meta.get("validation_folder"),
        left_out=tuple(map(printable, (*_beside(beside), *meta.get("left_out", ())))),
    )
    if for_training and kind == "folder":  # an entry that was decoded to be evaluated may be too little to train on
        with source.named(found):
            tree.check_trainable(data.classes, data.train_labels, test_fraction)
    return data


def identify(
    kind: str,
    root: str | Path | Place | None,
    *,
    cache_dir: str | Path | Place,
    download_to: str | Path | Place | None = None,
    image_size: int | None = None,
    test_fraction: float = 0.2,
) -> tuple[str, str] | None:
    """(variant, hash) of what `load` would give, where it has been decoded before; else None, whatever the cause."""
    try:
        source = _Source(kind, root, cache_dir, download_to)
        found = None if kind == "digits" else source.find()
    except (OSError, Unusable, DataError):
        return None
    if found is None and (kind != "digits" or root is not None):
        return None
    meta = cache.known(source.cache.path, _entry_name(kind, found, image_size, test_fraction))
    return None if meta is None else (meta["variant"], meta["hash"])


class _Source:
    """Where the data of one kind are looked for."""

    def __init__(
        self, kind: str, root: str | Path | Place | None, cache_dir: str | Path | Place, download_to: str | Path | Place | None
    ) -> None:
        self.kind = kind
        self.cache = place(cache_dir, "data.cache")
        self.root = None if root is None else place(root, "data.root")
        self.download = download_place(download_to, self.cache)

    def find(self) -> Found | None:
        """The data, None where there is nothing at all. Raises Unusable."""
        if self.kind == "folder" and self.root is None:
            return None
        return find((self.root or self.download).path, self.kind)

    @contextmanager
    def named(self, found: Found | None = None) -> Iterator[None]:
        """Turn what is wrong with a source into a DataError that begins with its key, and says what was found there."""
        key = str(self.root or "data.root=null")
        if found is not None and (self.root is None or found.path != self.root.path.resolve()):
            key += f": in {found.path.name}"
        try:
            yield
        except Unusable as error:
            raise DataError(f"{key}: {error}") from error
        except OSError as error:
            file = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
            raise DataError(f"{key}: {file}cannot be read ({reason(error)})") from error


def _check(source: _Source, image_size: int | None) -> None:
    kind = source.kind
    if kind not in ("cifar10", "digits", "folder"):
        raise DataError(f"data.name={kind}: must be one of cifar10, digits, folder")
    if kind == "digits" and source.root is not None:
        raise DataError(f"{source.root}: data=digits reads no files; leave it out, or use data=folder for images of your own")
    if kind != "folder" and image_size not in (None, cifar10.SIZE):
        raise DataError(f"data.image_size={image_size}: {kind} has 32x32 pixels, only data=folder resizes (try null)")


def _beside(names: tuple[str, ...]) -> list[str]:
    """What lies beside the data set that was found in the folder which the user named."""
    few = ", ".join(names[: leftovers.NAMED]) + (", …" if len(names) > leftovers.NAMED else "")
    return [f"beside the folder or archive that is read: {few}"] if names else []


def _missing(source: _Source, progress: Progress) -> Found:
    """There is nothing: CIFAR-10 is downloaded where no place was named, anything else must be given."""
    if source.kind == "folder":
        what = "no folder is named" if source.root is None else "no images are there"
        raise Unusable(f"{what}: data.root=DIR must hold train/<class>/<image>, and may hold test/<class>/<image>")
    if source.root is not None:
        what = "holds nothing" if source.root.path.is_dir() else "no such file or folder"
        named = f"without {source.root.key}, data.download={source.root.path} downloads the original to there"
        raise Unusable(f"{what}; {EXPECTED}; {named}")
    target = source.download.path / cifar10.ARCHIVE
    try:
        download(cifar10.URL, target, cifar10.ARCHIVE_MD5, progress)
    except OSError as error:
        other = "data.download=<folder>"
        raise DataError(f"{source.download}: cannot be written ({reason(error)}); choose another folder with {other}") from error
    except DownloadError as error:
        raise Unusable(
            f"no images are there, and downloading {cifar10.URL} failed ({reason(error)}); set RESNET_LIT_DATA or data.root to "
            f"{cifar10.ARCHIVE}, to its extracted folder, or to a tree train/<class>/*.png with test/<class>/*.png"
        ) from error
    found = find(target, source.kind)
    assert found is not None
    return found


def _entry_name(kind: str, found: Found | None, image_size: int | None, test_fraction: float) -> str:
    """The name of a cache entry: another one for another source, or for other pixels of the same."""
    options = [image_size, test_fraction] if kind == "folder" else []
    key = json.dumps([FORMATS[found.form if found else kind], kind, found.stamp if found else None, *options])
    return f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _decode_digits(writer: cache.Writer) -> dict[str, Any]:
    for name, array in read_digits().items():
        writer.put(name, array)
    return {"classes": DIGITS, "variant": "digits", "test_origin": "held out"}


def _decode(
    found: Found,
    kind: str,
    writer: cache.Writer,
    image_size: int | None,
    test_fraction: float,
    for_training: bool,
    progress: Progress,
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
    if not tree.are_sorted(images) and (known := foreign.recognise(files)):
        raise Unusable(known)
    prefix = tree.prefix_of(images) if found.form == "archive" else ""
    layout = tree.arrange(_below(prefix, images), _below(prefix, folders), least=2 if for_training else 1)
    if kind == "cifar10":
        cifar10.check_tree(layout)
    origin = "given" if layout.test else "held out"
    layout = layout if layout.test else tree.hold_out(layout, test_fraction)
    if for_training:
        tree.check_trainable(layout.classes, layout.train.labels, test_fraction)
    paths = [path for part in layout.parts.values() for path in part.paths]
    formats = decode.decode_layout(
        layout,
        _contents(found, prefix, paths),
        writer.create,
        image_size=image_size if kind == "folder" else None,
        expected=cifar10.SIZE if kind == "cifar10" else None,
        progress=progress,
    )
    for name, part in layout.parts.items():
        writer.put(f"{name}_labels", part.labels)
    everything = [name.removeprefix(prefix) for name in files] if found.form == "archive" else leftovers.files_below(found.path)
    empty = sorted(
        {*_below(prefix, folders)} & {*tree.VALIDATION} - {layout.validation_folder} - {p.split("/")[0] for p in everything}
    )
    return {
        "classes": layout.classes,
        "variant": cifar10.variant_of(formats) if kind == "cifar10" else "folder",
        "test_origin": origin,
        "validation_folder": layout.validation_folder,
        "left_out": [*leftovers.describe(everything, paths), *(f"{name}/ (no image)" for name in empty)],
    }


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
