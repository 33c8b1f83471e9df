"""A trained run evaluated again: on its own data, and on others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests_support import TINY

from resnet_lit.config import load
from resnet_lit.datamodule import ImageData
from resnet_lit.evaluate import data_config, evaluate
from resnet_lit.record import read
from resnet_lit.run import run
from resnet_lit.typed import Refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "python -m resnet_lit.evaluate run="),
        (["part=test"], "run=: say which run is evaluated"),
        (["run=x", "part=half"], "part=half: must be one of test, validation, train, all"),
        (["run=x", "seed=3"], "seed=3: no such word here"),
        (["run=x"], "run=x: holds no run"),
    ],
)
def test_words(command, words, said) -> None:
    ended = command(*words, module="evaluate")
    assert ended.returncode == (2 if words else 0)
    assert said in (ended.stderr or ended.stdout)


def test_what_is_not_said_of_the_data_is_as_the_run_had_it() -> None:
    config = load(*TINY, "data.batch_size=7")
    assert data_config(config, []).data == config.data
    moved = data_config(config, ["data.root=/elsewhere"]).data
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
    with pytest.raises(Refused, match="its class seven is none that the run knows"):
        evaluate(trained, ["data=folder", f"data.root={tmp_path / 'images'}"], part="all")
