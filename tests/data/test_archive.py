"""Archives: damaged ones are named, and no member can do harm."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from resnet_lit.data import archive
from resnet_lit.data.errors import Unusable

PETS = {"train/cat": 6, "train/dog": 4, "test/cat": 2, "test/dog": 2}


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.999])
def test_a_truncated_archive_is_named(make_tree, pack, refusal, tmp_path, suffix, part) -> None:
    path = pack(make_tree(tmp_path / "pets", PETS), tmp_path / f"pets{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    text = refusal("folder", path)
    assert str(path) in text
    assert "damaged or incomplete" in text


def test_a_flipped_bit_is_noticed(make_tree, pack, refusal, tmp_path) -> None:
    path = pack(make_tree(tmp_path / "pets", PETS), tmp_path / "pets.tar.xz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "damaged or incomplete" in refusal("folder", path)


def test_a_damaged_archive_in_a_folder_is_called_by_its_name(make_tree, pack, refusal, tmp_path) -> None:
    (tmp_path / "data").mkdir()
    path = pack(make_tree(tmp_path / "pets", PETS), tmp_path / "data/pets.tar.gz")
    path.write_bytes(path.read_bytes()[:-20])
    assert refusal("folder", tmp_path / "data").startswith(
        f"data.root={tmp_path / 'data'}: in pets.tar.gz: the archive is damaged"
    )


def add(tar: tarfile.TarFile, name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, target: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    member.size = len(content) if kind == tarfile.REGTYPE else 0
    tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside.png", tarfile.REGTYPE),
        ("train/cat/../../../outside.png", tarfile.REGTYPE),
        ("/etc/outside.png", tarfile.REGTYPE),
        ("C:\\outside.png", tarfile.REGTYPE),
        ("train/cat/link.png", tarfile.SYMTYPE),
        ("train/cat/link.png", tarfile.LNKTYPE),
        ("train/cat/device.png", tarfile.CHRTYPE),
    ],
)
def test_an_image_that_is_no_file_in_the_archive_is_refused(tmp_path: Path, refusal, name, kind) -> None:
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "train/cat/0.png")
        add(tar, name, kind=kind, target="/etc/hostname")
    assert f"member {name} is refused" in refusal("folder", path)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "cache") == ["evil.tar.gz"]


def test_other_strange_members_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "odd.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "./train/cat/0.png", b"one")
        add(tar, "../notes.txt")
        add(tar, "/abs/notes.txt")
        add(tar, "pipe", kind=tarfile.FIFOTYPE)
        add(tar, "link", kind=tarfile.SYMTYPE, target="/etc")
        add(tar, "train/empty", kind=tarfile.DIRTYPE)
    assert archive.listing(path) == (["train/cat/0.png"], ["train/empty"])
    assert list(archive.read(path, {"train/cat/0.png"})) == [("train/cat/0.png", b"one")]


def test_a_compressed_file_that_is_no_tar_is_refused(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"a,b,c\n" * 1000))
    assert not archive.is_archive(path)
    with pytest.raises(Unusable, match="damaged or incomplete"):
        archive.listing(path)


def test_images_at_two_places_of_an_archive_are_not_guessed_at(make_tree, pack, refusal, tmp_path) -> None:
    make_tree(tmp_path / "both/one", PETS)
    make_tree(tmp_path / "both/two", PETS)
    text = refusal("folder", pack(tmp_path / "both", tmp_path / "both.tar.gz"))
    assert "holds images under one and under two" in text
