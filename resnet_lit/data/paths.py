"""Where data are looked for, and where decoded images are kept."""

from __future__ import annotations

import os
from pathlib import Path


def data_root(name: str, root: str | None) -> str | None:
    """`data.root`, else $RESNET_LIT_DATA for CIFAR-10, else None: a download."""
    return root or (os.environ.get("RESNET_LIT_DATA") or None if name == "cifar10" else None)


def place_of(root: str | Path | None, cache_dir: Path) -> Path:
    """Where data with this root are looked for, and downloaded to: None stands for `<cache_dir>/downloads`."""
    return cache_dir / "downloads" if root is None else Path(root).expanduser()


def cache_folder(cache: str | None) -> Path:
    """`data.cache`, else $RESNET_LIT_CACHE, else the user's cache folder."""
    fallback = os.environ.get("RESNET_LIT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "resnet_lit"
    return Path(cache or fallback).expanduser()
