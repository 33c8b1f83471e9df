"""What lies beside the images that are read, so that nothing is left out without a word."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from resnet_lit.data.tree import PARTS, is_hidden, is_image

MOST = 200_000  # files looked at: beside the images there may be anything
NAMED = 8  # folders, and kinds of files, that are named
OF_SYSTEMS = {"thumbs.db", "desktop.ini", "ehthumbs.db"}


def files_below(root: Path, most: int = MOST) -> list[str]:
    """Paths (with '/') of the files below `root`, relative to it, hidden ones left out; the first `most` of them."""
    found: list[str] = []
    for path in _walk(root):
        found.append(path)
        if len(found) >= most:
            break
    return found


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        above = os.path.relpath(folder, root)
        for name in sorted(files):
            if not is_hidden(name):
                yield name if above == os.curdir else f"{above}/{name}".replace(os.sep, "/")


def describe(paths: Iterable[str], read: Collection[str]) -> list[str]:
    """What of `paths` is not among those in `read`, in phrases with counts; files of operating systems do not count."""
    read = set(read)
    parts = {path.partition("/")[0] for path in read} & set(PARTS) if any(path.startswith("train/") for path in read) else set()
    folders: dict[str, list[str]] = {}
    stray: list[str] = []
    others: Counter[str] = Counter()
    for path in paths:
        top, inside, _ = path.partition("/")
        name = path.rpartition("/")[2]
        if path in read or name.lower() in OF_SYSTEMS:
            continue
        if inside and parts and top not in parts:
            folders.setdefault(top, []).append(name)
        elif is_image(name):
            stray.append(path)
        else:
            others[os.path.splitext(name)[1].lower() or "no suffix"] += 1
    found = [_folder(top, names) for top, names in list(folders.items())[:NAMED]]
    if len(folders) > NAMED:
        found.append(f"{len(folders) - NAMED} more folders")
    if stray:
        found.append(f"{_count(len(stray), 'image')} in no class folder ({stray[0]}{', …' if len(stray) > 1 else ''})")
    if total := sum(others.values()):
        kinds = sorted(others)[:NAMED]
        more = ", …" if len(others) > NAMED else ""
        found.append(f"{_count(total, 'file')} that {'is' if total == 1 else 'are'} no image ({', '.join(kinds)}{more})")
    return found


def _folder(top: str, names: list[str]) -> str:
    images = sum(map(is_image, names))
    return f"{top}/ ({_count(images, 'image') if images else _count(len(names), 'file')})"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
