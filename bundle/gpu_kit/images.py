"""The original CIFAR-10 in small parts, and back, byte for byte.

A published batch is a pickle with the pixels of 10,000 images in one piece. That piece is cut out and written as lossless WebP,
`STRIP` images below one another in one strip; what lies around it, labels and file names, goes to `REST`. Together they take
0.6 of the published archive (96 MiB), and no part more than a MiB. Nothing here needs torch.
"""

from __future__ import annotations

import io
import json
import lzma
import pickletools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from resnet_lit.data import archive, cifar10
from resnet_lit.data.errors import Unusable
from resnet_lit.data.locate import EXPECTED, find
from resnet_lit.durable import sync
from resnet_lit.typed import Refused

REST = "rest.json.xz"
STRIP = 500  # images; a WebP picture has fewer than 16,384 rows
CHANNELS, SIZE = 3, cifar10.SIZE
PIXELS = CHANNELS * SIZE * SIZE


def published(path: Path) -> dict[str, bytes]:
    """The files of the original at `path`, its archive or its folder: {name: content}, checked. Raises Unusable."""
    found = find(path, "cifar10")
    if found is None:
        raise Unusable(f"there is nothing; {EXPECTED}")
    if found.form == "archive":
        names = [name for name in archive.listing(found.path)[0] if name.rsplit("/", 1)[-1] in cifar10.FILES]
        files = {name.rsplit("/", 1)[-1]: content for name, content in archive.read(found.path, names)}
    else:
        files = {name: (found.path / name).read_bytes() for name in cifar10.FILES if (found.path / name).is_file()}
    if missing := set(cifar10.FILES) - set(files):
        raise Unusable(f"is not the original CIFAR-10 ({min(missing)} is missing): only that can be packed")
    cifar10.read_batches(files.__getitem__)  # checks the published md5 of each
    return files


def pack(files: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The parts of `published` files: (name, content), REST first."""
    pieces = {name: _pixels_of(content) for name, content in files.items()}
    rest = {
        name: {
            "before": content[: pieces[name].start].decode("latin1"),
            "images": len(range(len(content))[pieces[name]]) // PIXELS,
            "after": content[pieces[name].stop :].decode("latin1"),
        }
        for name, content in files.items()
    }
    yield REST, lzma.compress(json.dumps(rest).encode())
    for name, content in files.items():
        images = np.frombuffer(content[pieces[name]], np.uint8).reshape(-1, CHANNELS, SIZE, SIZE)
        for number, start in enumerate(range(0, len(images), STRIP)):
            rows = images[start : start + STRIP].transpose(0, 2, 3, 1).reshape(-1, SIZE, CHANNELS)
            picture = io.BytesIO()
            Image.fromarray(rows).save(picture, "WEBP", lossless=True, quality=50, method=4)
            yield _strip(name, number), picture.getvalue()


def unpack(parts: Path, folder: Path) -> Path:
    """Write the published files from the parts in one folder to another one, whole or not at all; the folder that holds them.

    Raises Refused where parts are missing.
    """
    target = folder / cifar10.FOLDER
    if target.is_dir():
        return target
    if not (parts / REST).is_file():
        raise Refused(f"{parts}: {REST} is missing: the first load has not been here")
    rest = json.loads(lzma.decompress((parts / REST).read_bytes()))
    strips = {name: [_strip(name, k) for k in range(-(-of["images"] // STRIP))] for name, of in rest.items()}
    everything = [strip for names in strips.values() for strip in names]
    if missing := [strip for strip in everything if not (parts / strip).is_file()]:
        raise Refused(
            f"{parts}: {len(missing)} of {len(everything)} strips are missing: run ./first of every load before the last"
        )
    partial = folder / f"{cifar10.FOLDER}.part"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, of in rest.items():
        with (partial / name).open("wb") as file:
            file.write(of["before"].encode("latin1"))
            for strip in strips[name]:
                with Image.open(parts / strip) as picture:
                    rows = np.asarray(picture.convert("RGB"))
                file.write(rows.reshape(-1, SIZE, SIZE, CHANNELS).transpose(0, 3, 1, 2).tobytes())
            file.write(of["after"].encode("latin1"))
        sync(partial / name)
    partial.rename(target)
    return target


def _strip(name: str, number: int) -> str:
    return f"{name}.{number:02}.webp"


def _pixels_of(content: bytes) -> slice:
    """Where the pixels lie in a published pickle, which is read and not run; nowhere in the one with the names of the classes."""
    for operation, argument, position in pickletools.genops(content):
        if operation.name == "BINSTRING" and isinstance(argument, str) and argument and len(argument) % PIXELS == 0:
            start = (position or 0) + 5  # behind the operation's letter and the length in four bytes
            return slice(start, start + len(argument))
    return slice(len(content), len(content))
