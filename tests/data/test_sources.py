"""Every form of source that is read, what it is taken for, and what is said of one that cannot be used."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_lit.data import cifar10, sources
from resnet_lit.typed import Refused

PETS = {"train/cat": 6, "train/dog": 4, "test/cat": 2, "test/dog": 2}


# --- trees and archives


@pytest.mark.parametrize(("suffix", "variant"), [(".jpg", "cifar10-jpeg"), (".png", "cifar10-png")])
def test_a_tree_of_cifar10_is_read(small_cifar10, load, suffix, variant) -> None:
    root = small_cifar10(suffix)
    data = load("cifar10", root)
    assert data.variant == variant
    assert data.test_origin == "given"
    assert data.classes == cifar10.CLASSES
    assert data.train_images.shape == (30, 3, 32, 32)
    assert data.test_images.shape == (20, 3, 32, 32)
    assert data.train_images.dtype == np.uint8
    assert data.train_labels.dtype == np.int64
    assert data.train_labels.tolist() == [label for label in range(10) for _ in range(3)]
    pixels = np.asarray(Image.open(root / f"train/bird/0001{suffix}")).transpose(2, 0, 1)
    assert np.array_equal(data.train_images[7], pixels)


def test_mean_and_std_are_those_of_the_training_pixels(small_cifar10, load) -> None:
    data = load("cifar10", small_cifar10())
    pixels = data.train_images.astype(np.float64) / 255
    assert np.allclose(data.mean, pixels.mean((0, 2, 3)), atol=1e-12)
    assert np.allclose(data.std, pixels.std((0, 2, 3)), atol=1e-12)


@pytest.mark.parametrize("name", ["images.tar.gz", "images.tar.xz", "no_suffix.gz"])
@pytest.mark.parametrize("prefix", ["", "./", "some/where/"])
def test_a_tree_and_an_archive_of_it_are_the_same_data(small_cifar10, load, pack, tmp_path, name, prefix) -> None:
    tree = small_cifar10()
    archive = pack(tree, tmp_path / name, prefix)
    from_tree, from_archive = load("cifar10", tree), load("cifar10", archive)
    assert from_archive.hash == from_tree.hash
    assert np.array_equal(from_archive.train_images, from_tree.train_images)
    assert np.array_equal(from_archive.test_labels, from_tree.test_labels)
    assert from_archive.mean == from_tree.mean


def test_the_folder_above_is_enough(small_cifar10, load, pack, tmp_path) -> None:
    tree = small_cifar10()
    above = tmp_path / "above"
    above.mkdir()
    (above / "notes.txt").write_text("nothing to do with it")
    shutil.copytree(tree, above / "images")
    assert load("cifar10", above).hash == load("cifar10", tree).hash
    with_archive = tmp_path / "with_archive"
    with_archive.mkdir()
    (with_archive / ".DS_Store").write_bytes(b"\0")
    pack(tree, with_archive / "anything.tar.xz")
    assert load("cifar10", with_archive).hash == load("cifar10", tree).hash


def test_two_data_sets_in_one_folder_are_named(small_cifar10, refusal, tmp_path) -> None:
    for name in ("both/first", "both/second"):
        small_cifar10(name=name)
    assert "several data sets (first, second); name one of them" in refusal("cifar10", tmp_path / "both")


@pytest.mark.parametrize("form", ["tree", "archive"])
def test_what_is_plainly_no_image_is_ignored(make_tree, load, pack, tmp_path, form) -> None:
    root = make_tree(tmp_path / "pets", PETS)
    clean = load("folder", root).hash
    for name in (".DS_Store", "train/.DS_Store", "train/cat/Thumbs.db", "train/cat/._0000.png", "README.txt", "train/labels.csv"):
        (root / name).write_bytes(b"\0\1\2")
    (root / "__MACOSX/train/cat").mkdir(parents=True)
    (root / "__MACOSX/train/cat/0000.png").write_bytes(b"\0")
    source = root if form == "tree" else pack(root, tmp_path / "pets.tar.gz")
    assert load("folder", source).hash == clean


def test_the_hash_follows_pixels_labels_and_class_names(make_tree, load, tmp_path) -> None:
    hashes = {load("folder", make_tree(tmp_path / "a", PETS)).hash}
    hashes.add(load("folder", make_tree(tmp_path / "b", {key.replace("dog", "fox"): n for key, n in PETS.items()})).hash)
    moved = make_tree(tmp_path / "c", PETS)
    (moved / "train/dog/0000.png").rename(moved / "train/cat/9999.png")
    hashes.add(load("folder", moved).hash)
    pixel = make_tree(tmp_path / "d", PETS)
    pixels = np.asarray(Image.open(pixel / "test/dog/0001.png")).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(pixel / "test/dog/0001.png")
    hashes.add(load("folder", pixel).hash)
    assert len(hashes) == 4


# --- what is wrong is named, with the remedy


def test_a_tree_that_is_not_cifar10_is_refused(make_tree, small_cifar10, refusal, tmp_path) -> None:
    text = refusal("cifar10", make_tree(tmp_path / "pets", PETS))
    assert "class airplane is missing" in text
    assert "data=folder" in text
    root = small_cifar10(name="short")
    (root / "train/deer/0001.png").unlink()
    assert "train/deer: has 2 images, CIFAR-10 has 3" in refusal("cifar10", root)
    root = small_cifar10(name="no_test")
    shutil.rmtree(root / "test")
    assert "no test/<class>/" in refusal("cifar10", root)
    root = small_cifar10(name="size")
    Image.new("RGB", (32, 31)).save(root / "train/deer/0001.png")
    assert "train/deer/0001.png: is 32x31 pixels, CIFAR-10 has 32x32" in refusal("cifar10", root)
    root = small_cifar10(name="mixed")
    Image.open(root / "train/deer/0001.png").save(root / "train/deer/0001.jpg")
    (root / "train/deer/0001.png").unlink()
    assert "holds JPEG and PNG" in refusal("cifar10", root)
    root = small_cifar10(name="eleven")
    (root / "train/zebra").mkdir()
    assert "train/zebra: holds no image" in refusal("cifar10", root)


@pytest.mark.parametrize("form", ["tree", "archive"])
def test_an_unreadable_image_is_named(make_tree, refusal, pack, tmp_path, form) -> None:
    root = make_tree(tmp_path / "pets", PETS, ".jpg", (64, 64))
    image = root / "train/dog/0002.jpg"
    whole = image.read_bytes()
    for content in (b"this is a text", b"", whole[: len(whole) * 2 // 3]):
        image.write_bytes(content)
        source = root if form == "tree" else pack(root, tmp_path / "pets.tar.gz")
        assert "train/dog/0002.jpg: cannot be read as an image" in refusal("folder", source)
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == []


def test_an_image_in_the_wrong_place_is_named(make_tree, refusal, tmp_path) -> None:
    assert "test/fox has no counterpart train/fox" in refusal("folder", make_tree(tmp_path / "fox", {**PETS, "test/fox": 1}))
    assert "train/bird: holds no image" in refusal("folder", make_tree(tmp_path / "empty", {**PETS, "train/bird": 0}))
    assert "train/cat/young/0000.png: lies in a folder inside" in refusal(
        "folder", make_tree(tmp_path / "deep", {**PETS, "train/cat/young": 1})
    )
    assert "one class folder only (cat)" in refusal("folder", make_tree(tmp_path / "one", {"train/cat": 3}))
    flat = make_tree(tmp_path / "flat", {"train/cat": 3, "train/dog": 3, "test": 2})
    assert "test/ holds no class folder" in refusal("folder", flat)


def test_a_missing_or_strange_root_is_refused_and_nothing_is_downloaded(refusal, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sources, "download", lambda *_: pytest.fail("downloads"))
    assert "no such file" in refusal("cifar10", tmp_path / "cifar-10.tar.gz")
    (tmp_path / "letter.txt").write_text("Dear reader")
    assert "is neither a .tar.gz nor a .tar.xz archive" in refusal("cifar10", tmp_path / "letter.txt")
    (tmp_path / "zipped.tar.gz").write_bytes(b"PK\3\4 and so on")
    assert "is neither a .tar.gz" in refusal("cifar10", tmp_path / "zipped.tar.gz")
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers/letter.txt").write_text("Dear reader")
    assert "holds nothing that is recognised; expected cifar-10-python.tar.gz" in refusal("cifar10", tmp_path / "papers")
    assert not list((tmp_path / "papers").glob("cifar*"))


def test_data_folder_needs_a_folder(refusal, tmp_path) -> None:
    assert "data.root=DIR must hold train/<class>/<image>" in refusal("folder", None, key="data.root=null: ")
    assert "no images are there" in refusal("folder", tmp_path / "nowhere")


def test_a_data_error_is_a_refusal_and_a_value_error() -> None:
    assert issubclass(sources.DataError, Refused)
    assert issubclass(sources.DataError, ValueError)
    assert str(sources.DataError("data.root=x: two\nlines")) == "data.root=x: two lines"


def test_only_a_folder_is_resized(refusal, tmp_path) -> None:
    text = refusal("cifar10", tmp_path, key="data.image_size=64: ", image_size=64)
    assert text.endswith("(try null)")


# --- anyone's own images


def test_any_mode_and_size_becomes_one_size(load, refusal, tmp_path) -> None:
    root = tmp_path / "pets"
    for name, mode, size in [
        ("cat/a.png", "L", (20, 10)),
        ("cat/b.png", "RGBA", (16, 16)),
        ("cat/c.gif", "P", (9, 30)),
        ("dog/d.bmp", "1", (16, 16)),
        ("dog/e.jpg", "CMYK", (40, 33)),
        ("dog/f.PNG", "I;16", (16, 16)),
    ]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if mode == "I;16":
            Image.fromarray(np.full((16, 16), 40_000, np.uint16)).save(root / name)
        else:
            Image.new("RGB", size, (200, 100, 50)).convert(mode).save(root / name)
    data = load("folder", root, image_size=12)
    images = np.concatenate([data.train_images, data.test_images])
    assert images.shape == (6, 3, 12, 12)
    assert (images == 40_000 // 257).all((1, 2, 3)).sum() == 1  # 16 bits are scaled, not cut off
    text = refusal("folder", root)
    assert "pixels" in text
    assert "try data.image_size=32" in text


def test_images_are_resized_with_antialias(load, make_tree, tmp_path) -> None:
    root = make_tree(tmp_path / "pets", {"train/cat": 2, "train/dog": 2, "test/cat": 1, "test/dog": 1}, size=(50, 30))
    data = load("folder", root, image_size=16)
    wanted = Image.open(root / "train/cat/0001.png").resize((16, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(data.train_images[1], np.asarray(wanted).transpose(2, 0, 1))


def test_a_photograph_is_turned_upright(load, tmp_path) -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: left is up
    for name in ("a", "b"):
        for i in range(5):
            path = tmp_path / f"pets/{name}/{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, exif=exif)
    image = load("folder", tmp_path / "pets").train_images[0]
    assert image.shape == (3, 16, 8)
    assert (image[:, :8] == 255).all()
    assert (image[:, 8:] == 0).all()


@pytest.mark.parametrize("form", ["train/", "", "archive"])
def test_a_test_part_is_held_out_where_none_is_given(load, make_tree, pack, tmp_path, form) -> None:
    top = "" if form == "archive" else form
    root = make_tree(tmp_path / "pets", {f"{top}cat": 20, f"{top}dog": 10})
    source = pack(root, tmp_path / "pets.tar.xz", "pets/") if form == "archive" else root
    data = load("folder", source, test_fraction=0.3)
    assert data.test_origin == "held out"
    assert data.classes == ("cat", "dog")
    assert np.bincount(data.train_labels).tolist() == [14, 7]
    assert np.bincount(data.test_labels).tolist() == [6, 3]
    together = np.concatenate([data.train_images, data.test_images]).reshape(30, -1)
    assert len(np.unique(together, axis=0)) == 30  # every image once
    assert load("folder", source, test_fraction=0.3, cache_dir=tmp_path / "other").hash == data.hash
    assert load("folder", source, test_fraction=0.1).hash != data.hash


def test_a_class_too_small_to_hold_out_is_named(refusal, make_tree, tmp_path) -> None:
    root = make_tree(tmp_path / "pets", {"cat": 9, "dog": 1})
    assert "dog: too few images to hold out 0.8" in refusal("folder", root, test_fraction=0.8)


def test_the_only_folder_in_a_folder_may_hold_the_classes(load, make_tree, tmp_path) -> None:
    make_tree(tmp_path / "above/pets", {"cat": 5, "dog": 5})
    assert load("folder", tmp_path / "above").hash == load("folder", tmp_path / "above/pets").hash


# --- digits


def test_digits(load) -> None:
    data = load("digits", None)
    assert data.variant == "digits"
    assert data.classes == tuple("0123456789")
    assert data.test_origin == "held out"
    assert data.train_images.shape == (1438, 3, 32, 32)
    assert data.test_images.shape == (359, 3, 32, 32)
    assert (data.train_images.min(), data.train_images.max()) == (0, 255)
    assert np.array_equal(data.train_images[:, 0], data.train_images[:, 2])
    share = np.bincount(data.test_labels) / np.bincount(np.concatenate([data.train_labels, data.test_labels]))
    assert np.allclose(share, 0.2, atol=0.01)


def test_a_root_for_the_digits_is_refused_and_not_passed_over(refusal, tmp_path) -> None:
    assert "data=digits reads no files; leave it out, or use data=folder" in refusal("digits", tmp_path)


def test_missing_scikit_learn_is_one_line(refusal, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    text = refusal("digits", None, key="data=digits: ")
    assert text.endswith("pip install 'resnet_lit[digits]'")


# --- provenance


def test_identify_knows_what_has_been_decoded(small_cifar10, load, tmp_path) -> None:
    root, cache = small_cifar10(), tmp_path / "cache"
    assert sources.identify("cifar10", root, cache_dir=cache) is None
    data = load("cifar10", root)
    assert sources.identify("cifar10", root, cache_dir=cache) == (data.variant, data.hash)
    assert sources.identify("folder", root, cache_dir=cache) is None
    (root / "train/cat/0000.png").write_bytes((root / "train/cat/0001.png").read_bytes())
    assert sources.identify("cifar10", root, cache_dir=cache) is None


def test_identify_never_complains(tmp_path) -> None:
    (tmp_path / "letter.txt").write_text("Dear reader")
    for kind, root in [
        ("cifar10", tmp_path / "letter.txt"),
        ("cifar10", tmp_path / "no.tar.gz"),
        ("folder", None),
        ("cifar10", None),
    ]:
        assert sources.identify(kind, root, cache_dir=tmp_path / "cache") is None
    assert sources.identify("digits", None, cache_dir=tmp_path / "cache") is None


def test_nothing_here_imports_torch() -> None:
    code = (
        "import sys, resnet_lit.data.sources, resnet_lit.data.split; print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_progress_is_reported(small_cifar10, load) -> None:
    seen: list[tuple[int, int, str]] = []
    load("cifar10", small_cifar10(), progress=lambda *call: seen.append(call))
    assert seen[-1] == (50, 50, "decoding images")


def test_a_source_that_changes_while_it_is_read_is_refused(small_cifar10, refusal, tmp_path) -> None:
    root = small_cifar10()

    def spoil(done: int, total: int, text: str) -> None:
        (root / "train/cat/0000.png").touch()

    assert "has changed while it was read" in refusal("cifar10", root, progress=spoil)


def test_symbolic_links_in_a_tree_are_followed(make_tree, load, tmp_path) -> None:
    root = make_tree(tmp_path / "pets", PETS)
    linked = tmp_path / "linked"
    (linked / "train").mkdir(parents=True)
    (linked / "train/cat").symlink_to(root / "train/cat")
    (linked / "train/dog").symlink_to(root / "train/dog")
    (linked / "test").symlink_to(root / "test")
    assert load("folder", linked).hash == load("folder", root).hash


# --- the real images


def test_the_real_images(real_data: Path) -> None:
    import os

    cache = os.environ["RESNET_LIT_CACHE"]
    data = sources.load("cifar10", real_data, cache_dir=cache)
    assert data.classes == cifar10.CLASSES
    assert np.bincount(data.train_labels).tolist() == [5000] * 10
    assert np.bincount(data.test_labels).tolist() == [1000] * 10
    assert data.test_origin == "given"
    if data.variant == "cifar10-jpeg":
        assert np.allclose(data.mean, (0.49125, 0.48209, 0.44652), atol=1e-4)
        assert np.allclose(data.std, (0.24523, 0.24278, 0.26063), atol=1e-4)
    else:
        if data.variant == "cifar10":
            assert data.hash.startswith("0f0f8cb1")
        assert np.allclose(data.mean, (0.49140, 0.48216, 0.44653), atol=1e-4)
        assert np.allclose(data.std, (0.24703, 0.24349, 0.26159), atol=1e-4)
    assert sources.identify("cifar10", real_data, cache_dir=cache) == (data.variant, data.hash)
