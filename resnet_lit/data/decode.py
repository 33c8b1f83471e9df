"""Compressed images to one uint8 array."""

from __future__ import annotations

import io
import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

from resnet_lit.data import cifar10
from resnet_lit.data.errors import Progress, Unusable, reason
from resnet_lit.data.tree import Layout

# Pillow knows more, some of which start other programs.
FORMATS = ("JPEG", "MPO", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF")
CHUNK = 256  # images held in memory at a time
SMALL = 20_000  # bytes

# create(name, shape) -> an empty uint8 array to fill
Create = Callable[[str, tuple[int, ...]], np.ndarray]


def decode_layout(
    layout: Layout,
    read: Iterable[tuple[str, bytes]],
    create: Create,
    *,
    image_size: int | None,
    expected: int | None,
    progress: Progress,
) -> set[str]:
    """Decode every image of `layout` into `<part>_images` (N, 3, H, W) of each part; the formats that were met.

    read: (path, content) of each path of the layout, in any order. image_size: resize to that square; None: all images
    must have one size, `expected` x `expected` where that is given. Raises Unusable, naming the file.
    """
    parts = {f"{name}_images": part for name, part in layout.parts.items()}
    place = {path: (name, row) for name, part in parts.items() for row, path in enumerate(part.paths)}
    arrays: dict[str, np.ndarray] = {}
    formats: set[str] = set()
    done: set[str] = set()
    first = ""
    for path, pixels, kind in _decoded(read, image_size):
        if not arrays:
            first = path
            height, width = (expected, expected) if expected else pixels.shape[:2]
            arrays = {name: create(name, (len(part.paths), 3, height, width)) for name, part in parts.items()}
        if pixels.shape[:2] != (height, width):
            found, wanted = f"{pixels.shape[1]}x{pixels.shape[0]}", f"{width}x{height}"
            if expected:
                raise Unusable(f"{path}: is {found} pixels, CIFAR-10 has {wanted}; {cifar10.REMEDY}")
            raise Unusable(f"{path}: is {found} pixels, {first} is {wanted}: resize them all (try data.image_size=32)")
        name, row = place[path]
        arrays[name][row] = pixels.transpose(2, 0, 1)
        formats.add(kind)
        done.add(path)
        if len(done) % 100 == 0 or len(done) == len(place):
            progress(len(done), len(place), "decoding images")
    if missing := place.keys() - done:
        raise Unusable(f"{min(missing)}: has vanished while the images were read")
    return formats


def _decoded(read: Iterable[tuple[str, bytes]], image_size: int | None) -> Iterator[tuple[str, np.ndarray, str]]:
    """(path, pixels (H, W, 3) uint8, format) of each image; large ones in parallel, as Pillow works outside the GIL."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    source = iter(read)
    with ThreadPoolExecutor(min(cores, 8)) as pool:
        while chunk := list(itertools.islice(source, CHUNK)):
            # for small images threads cost more than they give
            apply = pool.map if sum(len(content) for _, content in chunk) > SMALL * len(chunk) else map
            yield from apply(lambda item: (item[0], *decode(item[0], item[1], image_size)), chunk)


def decode(path: str, content: bytes, image_size: int | None = None) -> tuple[np.ndarray, str]:
    """One image as (H, W, 3) uint8, upright, and its format; resized bilinearly with antialias to a square where asked.

    Grey becomes three equal channels, transparency is dropped, 16 bits become 8. Raises Unusable, naming `path`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on metadata; what cannot be read raises
            with Image.open(io.BytesIO(content), formats=_formats()) as opened:
                kind = opened.format or "?"
                image: Image.Image = opened
                image.load()
                if image.getexif().get(0x0112, 1) != 1:  # orientation, from a camera held upright
                    image = ImageOps.exif_transpose(image)
                image = _rgb(image)
                if image_size is not None and image.size != (image_size, image_size):
                    image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
                return np.asarray(image), kind
    except Exception as error:  # Pillow lets through what its decoders raise: OSError, SyntaxError, struct.error, …
        why = "not an image in a known format" if type(error).__name__ == "UnidentifiedImageError" else reason(error)
        raise Unusable(f"{path}: cannot be read as an image ({why}); replace or remove it") from error


def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # 16 bits: Pillow's own conversion would cut everything above 255
        return Image.fromarray((np.clip(np.asarray(image), 0, 65_535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.mode in ("P", "PA", "LA", "La", "RGBa"):
        image = image.convert("RGBA")
    return image.convert("RGB")
