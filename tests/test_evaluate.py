"""A trained run evaluated again: on its own data, and on others."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests_support import TINY, image_tree

from resnet_lit import evaluate as evaluating
from resnet_lit.config import load
from resnet_lit.datamodule import ImageData
from resnet_lit.evaluate import _parse, data_config, evaluate, report
from resnet_lit.record import read
from resnet_lit.run import earlier, run
from resnet_lit.schema import from_mapping
from resnet_lit.typed import ConfigError, Refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "python -m resnet_lit.evaluate run="),
        (["part=test"], "run=: name the run to evaluate"),
        (["run=x", "part=half"], "part=half: must be one of test, validation, train, all"),
        (["run=x", "seed=3"], "seed=3: unknown argument"),
        (["run=x"], "run=x: no such folder or file"),
        (["run=x", "run=y"], "run=y: one run at a time; leave out run=x"),
    ],
)
def test_words(command, words, said) -> None:
    ended = command(*words, module="evaluate")
    assert ended.returncode == (2 if words else 0)
    assert said in (ended.stderr or ended.stdout)


@pytest.mark.parametrize("before", ["", "resume=", "checkpoint="])
def test_a_run_that_is_named_otherwise_is_suggested_as_run(tmp_path, before: str) -> None:
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ConfigError, match=r"did you mean run=.*/checkpoints/best\.ckpt\?"):
        _parse([f"{before}{tmp_path}/checkpoints/best.ckpt"])


def test_what_is_not_said_of_the_data_is_as_the_run_had_it() -> None:
    config = load(*TINY, "data.batch_size=7")
    assert data_config(config, []).data == config.data
    moved = data_config(config, ["data.root=/elsewhere"]).data
    assert data_config(config, ["data.root=Tom's photos, фото"]).data.root == "Tom's photos, фото"
    assert (moved.root, moved.name, moved.limit_test) == ("/elsewhere", "digits", 64)
    other = data_config(config, ["data=cifar10"]).data
    assert (other.name, other.limit_test) == ("cifar10", None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    run(load(*TINY), folder)
    return folder


@pytest.mark.slow
def test_the_test_set_once_more_gives_the_result_of_the_run(trained: Path) -> None:
    folder, found = evaluate(trained, [])
    record, outputs = read(trained), np.load(trained / "test_outputs.npz")
    assert found["accuracy"] == pytest.approx(record["metrics"]["test/accuracy"], abs=1e-6)
    assert found["loss"] == pytest.approx(record["metrics"]["test/loss"], rel=1e-4)
    again = np.load(folder / "outputs.npz")
    assert (again["targets"] == outputs["targets"]).all()
    np.testing.assert_allclose(again["logits"], outputs["logits"], atol=1e-5)
    assert np.array(found["confusion"]).sum() == 64
    with Image.open(folder / "confusion_matrix.png") as picture:
        assert picture.size[0] > 100
    assert f"{100 * found['accuracy']:.2f}% correct" in (folder / "evaluation.html").read_text()
    assert (folder / "figures" / "confusion.svg").is_file()
    before = (folder / "evaluation.json").stat().st_mtime_ns
    assert evaluate(trained, [])[1] == json.loads((folder / "evaluation.json").read_text())
    assert (folder / "evaluation.json").stat().st_mtime_ns == before  # asked again, not computed again
    assert evaluate(trained, [], part="validation")[1]["accuracy"] == pytest.approx(record["metrics"]["val/accuracy"], abs=1e-6)


@pytest.mark.slow
def test_a_changed_answer_is_not_believed(trained: Path, capsys) -> None:
    folder, found = evaluate(trained, [])
    path = folder / "evaluation.json"
    path.write_text(path.read_text().replace(f'"accuracy": {found["accuracy"]}', '"accuracy": 0.99', 1))
    assert json.loads(path.read_text())["accuracy"] == 0.99
    assert evaluate(trained, [])[1]["accuracy"] == found["accuracy"]
    assert "evaluation.json: was changed after it was written" in capsys.readouterr().err
    assert json.loads(path.read_text())["accuracy"] == found["accuracy"]
    old = json.loads(path.read_text())
    del old["digest"]  # as an earlier version has written it
    path.write_text(json.dumps(old))
    assert "not verified" in report(evaluate(trained, [])[1])


@pytest.mark.slow
def test_other_images_are_matched_by_the_names_of_their_classes(trained: Path, tmp_path) -> None:
    data = ImageData(load(*TINY))
    for index, image in zip(data.test_indices, data.source.test_images[data.test_indices], strict=True):
        label = data.source.test_labels[index]
        if label >= 5:  # half of the classes, whose numbers there differ from the run's
            folder = tmp_path / "images" / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{index}.png")
    _, found = evaluate(trained, ["data=folder", f"data.root={tmp_path / 'images'}"], part="all")
    outputs = np.load(trained / "test_outputs.npz")
    mine = outputs["targets"] >= 5
    assert found["data"]["images"] == mine.sum()
    assert found["accuracy"] == pytest.approx((outputs["logits"].argmax(1) == outputs["targets"])[mine].mean())
    shutil.move(tmp_path / "images" / "7", tmp_path / "images" / "seven")
    with pytest.raises(Refused, match="its class seven is not a class of the run"):
        evaluate(trained, ["data=folder", f"data.root={tmp_path / 'images'}"], part="all")


ODD = os.fsdecode(b"ch\xe9 [b]\x1b")  # a name that is not UTF-8, looks like markup, and moves the cursor


@pytest.fixture(scope="module")
def of_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on photos of two classes, with a validation part of their own; the photos lie beside it."""
    folder = tmp_path_factory.mktemp("photos")
    image_tree(folder / "photos", classes=(ODD, "dog"))
    for part in ("val", "more"):
        shutil.copytree(folder / "photos/test", folder / ("photos/val" if part == "val" else "more"))
    shutil.rmtree(folder / "more/dog")
    words = (
        "data=folder",
        f"data.root='{folder / 'photos'}'",
        "data.image_size=8",
        "data.limit_train=null",
        "data.limit_test=null",
    )
    run(load(*TINY, *words, "augment=none", "trainer.max_epochs=1"), folder / "run")
    return folder


@pytest.mark.slow
def test_a_run_on_data_with_a_validation_part_says_so_and_is_another_run_than_one_without(of_photos: Path) -> None:
    record = read(of_photos / "run")
    assert record["data"]["sizes"] == {"train": 40, "validation": 12, "test": 12}
    assert record["data"]["validation_origin"] == "given"
    assert record["best"]["chosen_on"] == "val"
    assert "val/ chooses the epoch (12 images); all of train/ trains" in (of_photos / "run/train.log").read_text()
    assert evaluate(of_photos / "run", [], part="validation")[1]["accuracy"] == pytest.approx(record["metrics"]["val/accuracy"])
    assert evaluate(of_photos / "run", [], part="all")[1]["data"]["images"] == 64
    (of_photos / "photos/val").rename(of_photos / "photos/left out")
    try:
        with pytest.raises(Refused, match="was trained on other data"):
            earlier(from_mapping(record["config"]), of_photos / "run")
    finally:
        (of_photos / "photos/left out").rename(of_photos / "photos/val")


@pytest.mark.slow
@pytest.mark.parametrize("images", [6, 1])
def test_photos_of_one_class_are_evaluated(of_photos: Path, tmp_path, images) -> None:
    more = shutil.copytree(of_photos / "more", tmp_path / "more")
    for path in sorted((more / ODD).iterdir())[images:]:
        path.unlink()
    words = ["data=folder", f"data.root='{more}'", "data.image_size=8"]
    _, found = evaluate(of_photos / "run", words, part="all")
    text = evaluating.report(found)
    taken = [round(found["accuracy"] * images), images - round(found["accuracy"] * images)]
    line = next(line for line in text.splitlines() if line.startswith(f"of {images} taken for: "))
    assert sorted(int(part.split()[-1]) for part in line.split(": ")[1].split(", ")) == sorted(filter(None, taken))
    assert "no images of dog: accuracy n/a" in text
    assert r"ch\xe9 [b]\x1b" in text.splitlines()[-3]
    text.encode()
    with pytest.raises(Refused, match="one class folder only"):  # it was decoded, and is too little to train on all the same
        ImageData(load(*words))


@pytest.mark.slow
@pytest.mark.parametrize("said", ["run", "out"])
def test_numbers_are_printed_where_nothing_can_be_written(of_photos: Path, tmp_path, monkeypatch, capsys, caplog, said) -> None:
    """As on a read-only file system, which this user may be allowed to write to: a file lies where the folder should."""
    run_folder = shutil.copytree(of_photos / "run", tmp_path / "run", ignore=shutil.ignore_patterns("evaluations"))
    blocked = tmp_path / ("run/evaluations" if said == "run" else "elsewhere")
    blocked.write_text("")
    out = [] if said == "run" else [f"out={blocked}"]
    monkeypatch.setattr("sys.argv", ["evaluate", f"run={run_folder}", *out])
    with caplog.at_level(logging.WARNING, "resnet_lit"):
        evaluating.main()
    assert "accuracy " in capsys.readouterr().out
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{blocked}/")
    assert "evaluation.json: cannot be written (Not a directory); out=<folder> writes it elsewhere" in line
    monkeypatch.setattr("sys.argv", ["evaluate", f"run={run_folder}", f"out={tmp_path / 'there'}"])
    evaluating.main()
    assert len(list((tmp_path / "there").glob("folder-*-test/evaluation.json"))) == 1


@pytest.mark.slow
def test_what_was_left_open_of_other_data_is_said(of_photos: Path, tmp_path, caplog) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(of_photos / "photos/train", photos)
    (photos / "cover.png").touch()
    words = ["data=folder", f"data.root='{photos}'", "data.image_size=8"]
    with caplog.at_level(logging.WARNING, "resnet_lit"):
        _, found = evaluate(of_photos / "run", words)
    assert [record.getMessage() for record in caplog.records] == [
        "data: not read: 1 image in no class folder (cover.png)",
        "data: hold no test part: 8 of 40 images are taken (part=all takes all)",
    ]
    assert found["data"]["images"] == 8
    (photos / "dog").rename(photos / "Dog")
    with pytest.raises(Refused, match=r"its class Dog is not a class of the run \(did you mean dog\?\)"):
        evaluate(of_photos / "run", words)


def test_more_outputs_than_classes_have_names_everywhere(tmp_path) -> None:
    """`model.num_classes` above the data's number of classes: the further outputs are "class 10" and so on."""
    import torch

    from resnet_lit.trained import open_run

    record = run(load(*TINY, "model.num_classes=13", "trainer.max_epochs=1"), tmp_path / "run")
    assert record["status"] == "finished", record["reason"]
    _, found = evaluate(tmp_path / "run", [])
    assert len(found["confusion"]) == 13
    assert sum(map(sum, found["confusion"])) == found["data"]["images"]
    assert found["accuracy"] == record["metrics"]["test/accuracy"]
    trained = open_run(tmp_path / "run")
    assert trained.classes[9:] == ("9", "class 10", "class 11", "class 12")
    (logits,) = trained.logits([torch.zeros(1, 3, 32, 32, dtype=torch.uint8)])
    assert logits.shape == (1, 13)
