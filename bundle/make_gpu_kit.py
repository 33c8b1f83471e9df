"""What a GPU machine without network needs for its first minutes, in loads of a size that it takes (`make gpu-kit`).

    make gpu-kit DATA=cifar-10-python.tar.gz       dist/gpu-kit/1, 2, …: at most 52 MiB each
    make gpu-kit DATA=… MIB=30                     loads of at most 30 MiB
    make gpu-kit DATA=none                         one load of 2 MiB: the images are on the GPU machine already

DATA: the original CIFAR-10, as archive or folder (default: $RESNET_LIT_DATA). The first load has the package in a bundle; the
images lie in all of them, losslessly compressed (gpu_kit.images). What to do with the loads: bundle/README.md.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import tempfile
from pathlib import Path

import make
from gpu_kit import images

from resnet_lit.data.errors import Unusable

KIT = make.HERE / "gpu_kit"
PROGRAMS = ("first", "second")


def main() -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("RESNET_LIT_DATA", ""), help="archive or folder of CIFAR-10, or none")
    parser.add_argument("--mib", type=float, default=52, help="the most that a load takes")
    parser.add_argument("--out", type=Path, default=make.ROOT / "dist" / "gpu-kit")
    options = parser.parse_args()
    if not options.data:
        print("DATA=: name the original CIFAR-10 (cifar-10-python.tar.gz or its extracted folder), or none", file=sys.stderr)
        return 2
    if options.mib < 6:
        print(f"MIB={options.mib:g}: must be at least 6, for the package alone takes 2 (try MIB=52)", file=sys.stderr)
        return 2
    try:
        published = {} if options.data == "none" else images.published(Path(options.data).expanduser())
    except (Unusable, OSError) as error:
        print(f"DATA={options.data}: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        bundle, parts = Path(temporary) / "resnet_lit.tar.gz", Path(temporary) / "parts"
        shutil.move(make.build(Path(temporary)), bundle)
        parts.mkdir()
        for name, content in images.pack(published) if published else ():
            (parts / name).write_bytes(content)
        for number, files in enumerate(shares([bundle, *sorted(parts.iterdir(), key=_rest_first)], options.mib * 2**20), 1):
            load = options.out / str(number)
            shutil.rmtree(load, ignore_errors=True)
            fill(load, files, bundle)
            size = sum(file.stat().st_size for file in load.rglob("*")) / 2**20
            print(f"{load}: {size:.1f} MiB")
    for old in options.out.iterdir():  # of a kit of more loads
        if old.name.isdigit() and int(old.name) > number:
            shutil.rmtree(old)
    return 0


def shares(files: list[Path], most: float) -> list[list[Path]]:
    """The files in their order, in as few shares as possible of about equal size, none of more than `most` bytes."""
    sizes = [file.stat().st_size for file in files]
    count = max(1, math.ceil(sum(sizes) / (most - max(sizes[1:], default=0) - 2**16)))
    share, found, filled = sum(sizes) / count, [[files[0]]], float(sizes[0])
    for file, size in zip(files[1:], sizes[1:], strict=True):
        if filled >= share * len(found):
            found.append([])
        found[-1].append(file)
        filled += size
    return found


def fill(load: Path, files: list[Path], bundle: Path) -> None:
    """Lay out one load: both programs, the bundle where it is among the files, and parts/ with the others."""
    load.mkdir(parents=True)
    for program in PROGRAMS:
        shutil.copy(KIT / "start", load / program)
    for file in files:
        place = load if file == bundle else load / "parts"
        place.mkdir(exist_ok=True)
        shutil.copy(file, place)


def _rest_first(path: Path) -> tuple[bool, str]:
    return path.name != images.REST, path.name


if __name__ == "__main__":
    sys.exit(main())
