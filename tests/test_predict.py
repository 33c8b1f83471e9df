"""What a trained run says of images of the user's own."""

from __future__ import annotations

import csv
import io
import json
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tests_support import TINY

from resnet_lit.predict import Answer, _files, _parse, _print, main
from resnet_lit.run import run
from resnet_lit.typed import ConfigError


def test_files_are_those_that_were_named_and_the_images_of_folders(tmp_path) -> None:
    for name in ("a.png", "deep/b.JPG", "notes.txt", ".hidden.png", "deep/.git/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = _files([str(tmp_path), str(tmp_path / "notes.txt"), str(tmp_path / "a.png")])
    assert [str(file.relative_to(tmp_path)) for file in found] == ["a.png", "deep/b.JPG", "notes.txt"]
    with pytest.raises(ConfigError, match="nowhere: no such file or folder"):
        _files(["nowhere"])


def test_a_run_among_the_images_is_named_as_the_run_that_is_meant(tmp_path) -> None:
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ConfigError, match=r"is a run, no image: did you mean run=.*best\.ckpt\?"):
        _parse([f"{tmp_path}/checkpoints/best.ckpt", "a.png"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run=x"], "name a run and the images to classify"),
        (["run=x", "a.png", "--top=0"], "--top=0: must be a whole number of at least 1"),
        (["run=x", "a.png", "--format=xml"], "--format=xml: must be one of table, json, csv"),
        (["run=x", "a.png", "evaluation.tta=flip"], "evaluation.tta=flip: predict answers from the single view"),
    ],
)
def test_wrong_words_are_one_line(command, words, said) -> None:
    ended = command(*words, module="predict")
    assert ended.returncode == 2
    assert ended.stderr.startswith(said)
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(("form", "shown"), [("table", r"\xff[b]\x1b.png"), ("csv", r"\xff[b]\x1b.png"), ("json", None)])
def test_any_name_is_printed(monkeypatch, form, shown) -> None:
    name = os.fsdecode(b"\xff[b]\x1b.png")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "utf-8"))
    _print([Answer(name, ((r"ch\xe9 [b]", 0.5),))], form)
    sys.stdout.flush()
    text = written.getvalue().decode()
    if form == "json":
        assert json.loads(text)[0]["file"] == name  # os.fsencode gives the bytes of the file's name
    else:
        assert shown in text
        assert r"ch\xe9 [b]" in text


@pytest.mark.slow
def test_answers_are_those_of_the_test_whatever_the_format_and_bad_files_are_left_out(
    command, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    from resnet_lit.config import load
    from resnet_lit.datamodule import ImageData

    run(load(*TINY), "run")
    data = ImageData(load(*TINY))
    images = data.source.test_images[data.test_indices[:12]]
    (tmp_path / "images").mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "images" / f"{index:02}.png")
    (tmp_path / "images" / "bad.jpg").write_bytes(b"no image")
    Image.fromarray(np.zeros((5, 70), np.uint8)).save(tmp_path / "images" / "wide.bmp")

    ended = command("run=run", "images", "--format=csv", "--top=2", module="predict")
    assert ended.returncode == 1
    assert "images/bad.jpg: cannot be read as an image" in ended.stderr
    assert "1 of 14 files left out" in ended.stderr
    rows = list(csv.DictReader(io.StringIO(ended.stdout)))
    answered = {row["file"]: (int(row["class"]), float(row["probability"])) for row in rows}
    assert "images/wide.bmp" in answered
    logits = torch.from_numpy(np.load("run/test_outputs.npz")["logits"][:12])
    for index, expected in enumerate(torch.softmax(logits, 1)):
        name, probability = answered[f"images/{index:02}.png"]
        assert name == int(expected.argmax())
        assert probability == pytest.approx(float(expected.max()), abs=1e-5)

    (tmp_path / "images" / "bad.jpg").unlink()
    monkeypatch.setattr(sys, "argv", ["predict", "run=run", "images", "--format=json", "--last"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert [answer["file"] for answer in json.loads(capsys.readouterr().out)] == sorted(answered)
