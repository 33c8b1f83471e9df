"""Trees of generated images and archives of them; no image is stored in the repository."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_lit.data import cifar10, sources


def write_image(path: Path, seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    """A smooth random image: JPEG keeps it roughly."""
    coarse = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR).convert(mode)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def make_tree() -> Callable[..., Path]:
    """make_tree(folder, {"train/cat": 5, …}, suffix=".png", size=(8, 8)): images 0000, 0001, … in each folder."""

    def make(root: Path, counts: dict[str, int], suffix: str = ".png", size: tuple[int, int] = (8, 8)) -> Path:
        for number, (folder, count) in enumerate(counts.items()):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                write_image(root / folder / f"{i:04d}{suffix}", seed=1000 * number + i, size=size)
        return root

    return make


@pytest.fixture
def pack() -> Callable[..., Path]:
    """pack(folder, archive, prefix=""): the content of a folder as .tar.gz or .tar.xz."""

    def make(root: Path, archive: Path, prefix: str = "") -> Path:
        with tarfile.open(archive, f"w:{archive.suffix[1:]}") as tar:
            for path in sorted(root.iterdir()):
                tar.add(path, f"{prefix}{path.name}")
        return archive

    return make


@pytest.fixture
def small_cifar10(tmp_path: Path, make_tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """small_cifar10(".jpg"): a tree of CIFAR-10's ten classes, with 3 and 2 images each where CIFAR-10 has 5,000 and 1,000."""
    monkeypatch.setattr(cifar10, "PER_CLASS", {"train": 3, "test": 2})

    def make(suffix: str = ".png", name: str = "tree") -> Path:
        counts = {f"train/{word}": 3 for word in cifar10.CLASSES} | {f"test/{word}": 2 for word in cifar10.CLASSES}
        return make_tree(tmp_path / name, counts, suffix, (32, 32))

    return make


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., sources.DataSet]:
    """sources.load with a cache of the test's own."""

    def call(kind: str, root: Path | str | None, **options: object) -> sources.DataSet:
        return sources.load(kind, root, **{"cache_dir": tmp_path / "cache", **options})  # type: ignore[arg-type]

    return call


@pytest.fixture
def refusal(load: Callable[..., sources.DataSet]) -> Callable[..., str]:
    """refusal(kind, root, …): the text of the DataError, which is one line that begins with the key."""

    def call(kind: str, root: Path | str | None, key: str = "data.root=", **options: object) -> str:
        with pytest.raises(sources.DataError) as error:
            load(kind, root, **options)
        text = str(error.value)
        assert "\n" not in text
        assert text.startswith(key)
        return text

    return call
