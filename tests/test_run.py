"""One run from end to end, as a user starts it: what it leaves, what typing it again does, how it ends."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tests_support import TINY, files_of, image_tree, start, tensors_equal

from resnet_lit.callbacks.timing import EPOCHS, PARTS
from resnet_lit.record import is_whole, read
from resnet_lit.run import FolderError, run
from resnet_lit.typed import ConfigError, Refused

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a finished run, made by the command."""
    where = tmp_path_factory.mktemp("finished")
    ended = start(*TINY, "hydra.run.dir=run", cwd=where).communicate()
    assert (where / "run" / "result.json").exists(), ended
    return where / "run"


def test_a_run_leaves_a_record_that_can_be_trusted(finished: Path) -> None:
    record = read(finished)
    assert record["status"] == "finished"
    assert record["schema_version"] == 1
    assert is_whole(finished, record)
    assert record["data"]["variant"] == "digits"
    assert record["data"]["sizes"] == {"train": 192, "validation": 143, "test": 64}
    assert record["model"]["parameters"] == 1454
    assert 0 <= record["metrics"]["test/accuracy"] <= 1
    assert record["best"]["chosen_on"] == "val"
    assert set(record["timing"]) == {*PARTS, *EPOCHS}
    assert record["timing"]["first_epoch"] > 0 < record["timing"]["later_epochs"]
    assert record["peak"]["tflops"] > 0
    assert record["command"].startswith("python -m resnet_lit.train +experiment=digits")
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    outputs = np.load(finished / "test_outputs.npz")
    accuracy = (outputs["logits"].argmax(1) == outputs["targets"]).mean()
    assert accuracy == pytest.approx(record["metrics"]["test/accuracy"], abs=1e-6)
    for name in ("config.yaml", "metrics.csv", "train.log", "checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        assert (finished / name).stat().st_size > 0
    assert not (finished / "checkpoints" / "last.previous.ckpt").exists()


def test_an_edited_record_is_seen(finished: Path, tmp_path) -> None:
    record = read(finished)
    record["metrics"]["test/accuracy"] = 0.99
    assert not is_whole(finished, record)


def test_typed_again_a_finished_run_trains_nothing_and_changes_no_byte(finished: Path) -> None:
    before = files_of(finished)
    process = start(*TINY, "hydra.run.dir=run", cwd=finished.parent)
    output = process.communicate()[0]
    assert process.returncode == 0
    assert "finished before: " in output
    assert "nothing was trained" in output
    assert files_of(finished) == before


def test_a_folder_with_another_run_is_refused_with_what_differs(finished: Path) -> None:
    before = files_of(finished)
    process = start(*TINY, "hydra.run.dir=run", "seed=7", cwd=finished.parent)
    output = process.communicate()[0]
    assert process.returncode == 2
    assert "holds another run, which differs in seed=7 (there: 0)" in output
    assert files_of(finished) == before


def test_checkpoints_are_plain_data_and_suffice_to_evaluate(finished: Path) -> None:
    from resnet_lit.training import load_module

    state = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    assert not [key for key in state["state_dict"] if "_orig_mod" in key]
    assert state["resnet_lit"]["classes"] == list("0123456789")
    assert state["resnet_lit"]["identity"] == read(finished)["identity"]
    module = load_module(finished / "checkpoints" / "best.ckpt")
    from resnet_lit.config import load
    from resnet_lit.datamodule import ImageData

    data = ImageData(load(*TINY))
    with torch.no_grad():
        logits = torch.cat([module(images) for images, _ in data.test_dataloader()])
    assert torch.allclose(logits, torch.from_numpy(np.load(finished / "test_outputs.npz")["logits"]), atol=1e-5)


def test_metrics_rows_are_in_order_and_complete(finished: Path) -> None:
    rows = list(csv.DictReader((finished / "metrics.csv").open()))
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(steps)
    assert [row["epoch"] for row in rows if row["val/accuracy"]] == ["1", "2"]
    assert [row["epoch"] for row in rows if row["train/accuracy_epoch"]] == ["1", "2"]
    assert rows[-1]["test/accuracy"]


def test_tensorboard_has_one_file_with_scalars_hparams_and_images(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.custom_scalar import layout_pb2

    assert len(list(finished.glob("events.out.tfevents.*"))) == 1
    events = EventAccumulator(str(finished), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy", "test/accuracy", "lr", "perf/images_per_second"} <= set(
        tags["scalars"]
    )
    assert {"images/augmented", "images/mistakes", "images/confusion_matrix"} <= set(tags["images"])
    assert "result/test/accuracy" in tags["scalars"]
    assert events.Scalars("result/test/accuracy")[0].value == pytest.approx(read(finished)["metrics"]["test/accuracy"])
    assert "hp_metric" not in tags["scalars"]
    for tag in tags["scalars"]:
        steps = [event.step for event in events.Scalars(tag)]
        assert steps == sorted(set(steps)), tag
    plugins = events.summary_metadata
    assert {"_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"} <= set(plugins)
    layout = layout_pb2.Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    charts = {chart.title: [re.compile(tag) for tag in chart.multiline.tag] for chart in layout.category[0].chart}
    for name, patterns in charts.items():
        shown = {tag for tag in tags["scalars"] if any(pattern.search(tag) for pattern in patterns)}
        assert shown == {f"train/{name}_epoch", f"val/{name}", f"test/{name}"}


def test_from_python_the_same_config_is_the_same_run(tmp_path, monkeypatch) -> None:
    from resnet_lit.config import folder_name, load

    monkeypatch.chdir(tmp_path)
    config = load(*TINY, "trainer.max_epochs=1")
    first = run(config)
    assert first["status"] == "finished"
    assert (tmp_path / "outputs" / folder_name(config) / "result.json").exists()
    again = run(config)
    assert again["metrics"] == first["metrics"]
    assert again["ended"] == first["ended"]


def test_deterministic_runs_give_equal_weights(tmp_path, monkeypatch) -> None:
    from resnet_lit.config import load

    config = load(*TINY, "deterministic=true", "model.dropout=0.25", "trainer.max_epochs=1")
    for name in ("a", "b"):
        run(config, tmp_path / name)
    assert tensors_equal(tmp_path / "a", tmp_path / "b")


def test_a_folder_trained_on_other_data_is_refused(tmp_path) -> None:

    from resnet_lit.config import load

    words = [
        "model.blocks=[1]",
        "model.channels=[4]",
        "data=folder",
        "data.image_size=8",
        "trainer.max_epochs=1",
        "compile=false",
        "threads=1",
    ]
    words += ["augment=none", "data.cache=" + str(tmp_path / "cache")]
    image_tree(tmp_path / "first", seed=0)
    image_tree(tmp_path / "second", seed=1)
    assert run(load(*words, f"data.root={tmp_path}/first"), tmp_path / "run")["status"] == "finished"
    run(load(*words, f"data.root={tmp_path}/second"), tmp_path / "other")
    with pytest.raises(FolderError, match="was trained on other data"):
        run(load(*words, f"data.root={tmp_path}/second"), tmp_path / "run")


def test_a_diverged_run_says_where_and_is_a_result(tmp_path) -> None:
    from resnet_lit.config import load

    config = load(*TINY, "optimizer.lr=1e20", "scheduler=constant", "trainer.max_epochs=3")
    record = run(config, tmp_path / "run")
    assert record["status"] == "diverged"
    assert "lr 1e+20" in record["reason"]
    assert run(config, tmp_path / "run")["ended"] == record["ended"]


def test_a_failed_run_says_why_and_is_tried_again(tmp_path, monkeypatch) -> None:
    from resnet_lit.config import load

    (tmp_path / "failing.py").write_text(
        "import lightning\nclass Failing(lightning.Callback):\n"
        "    def on_train_epoch_end(self, trainer, module):\n        raise RuntimeError('on purpose')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = load(*TINY, "+callbacks.failing._target_=failing.Failing")
    record = run(config, tmp_path / "run")
    assert (record["status"], record["reason"]) == ("failed", "RuntimeError: on purpose")
    assert "on purpose" in (tmp_path / "run" / "train.log").read_text()
    assert len(run(config, tmp_path / "run")["sessions"]) == 2


def test_protocol_paper_chooses_on_the_test_set_and_says_so(tmp_path) -> None:
    from resnet_lit.config import load

    record = run(load(*TINY, "protocol=paper", "trainer.max_epochs=3"), tmp_path / "run")
    assert record["data"]["sizes"]["validation"] == 0
    assert record["best"]["chosen_on"] == "test"
    rows = [
        float(row["test/accuracy"]) for row in csv.DictReader((tmp_path / "run" / "metrics.csv").open()) if row["test/accuracy"]
    ]
    assert len(rows) == 3
    assert record["metrics"]["test/accuracy"] == pytest.approx(max(rows), abs=1e-6)
    assert record["metrics"]["test/accuracy_last"] == pytest.approx(rows[-1], abs=1e-6)


def test_protocol_final_trains_on_everything_and_reads_the_test_set_once(tmp_path) -> None:
    from resnet_lit.config import load

    record = run(load(*TINY, "protocol=final", "trainer.max_epochs=2"), tmp_path / "run")
    assert record["best"] == {"epoch": 2, "step": record["steps"], "chosen_on": None}
    assert record["data"]["sizes"]["validation"] == 0
    assert record["metrics"]["test/accuracy"] == record["metrics"]["test/accuracy_last"]
    assert "val/accuracy" not in record["metrics"]
    rows = [row for row in csv.DictReader((tmp_path / "run" / "metrics.csv").open()) if row["test/accuracy"]]
    assert [int(row["step"]) for row in rows] == [record["steps"]]
    stops = ("+callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping", "+callbacks.stop.monitor=train/loss")
    with pytest.raises(ConfigError, match=r"^callbacks\.stop: stops early, and protocol=final trains to the end"):
        run(load(*TINY, "protocol=final", *stops), tmp_path / "stops")


def test_a_run_that_stops_between_validations_validates_once_at_its_end(tmp_path) -> None:
    from resnet_lit.config import load

    record = run(load(*TINY, "trainer.max_steps=2"), tmp_path / "run")
    assert record["steps"] == 2
    assert record["best"] == {"epoch": 1, "step": 2, "chosen_on": "val"}
    assert "val/accuracy" in record["metrics"]


def test_weights_start_a_new_run_from_trained_ones(finished: Path, tmp_path) -> None:
    from resnet_lit.config import load

    best = finished / "checkpoints" / "best.ckpt"
    record = run(load(*TINY, f"weights='{best}'", "optimizer.lr=1e-9", "trainer.max_epochs=1"), tmp_path / "run")
    assert record["status"] == "finished"
    before, after = (
        torch.load(p, weights_only=True)["state_dict"] for p in (best, tmp_path / "run" / "checkpoints" / "last.ckpt")
    )
    assert torch.allclose(before["network.fc.weight"], after["network.fc.weight"], atol=1e-6)


def test_a_debug_run_always_runs_and_is_marked(tmp_path, monkeypatch) -> None:
    from resnet_lit.config import folder_name, load

    monkeypatch.chdir(tmp_path)
    config = load(*TINY, "++trainer.fast_dev_run=true")
    assert folder_name(config) == "debug/digits"
    first, second = run(config), run(config)
    assert second["debug"]
    assert first["status"] == second["status"] == "finished"
    assert len(second["sessions"]) == 1


def test_images_of_the_users_own_bring_their_classes(tmp_path) -> None:
    from resnet_lit.config import load

    image_tree(tmp_path / "pets", classes=("cat", "dog", "eel"))
    words = ["model.blocks=[1]", "model.channels=[4]", "data=folder", f"data.root={tmp_path}/pets", "data.image_size=8"]
    record = run(load(*words, "trainer.max_epochs=1", "compile=false", "threads=1", "name=pets"), tmp_path / "run")
    assert record["data"]["variant"] == "folder"
    assert record["data"]["classes"] == ["cat", "dog", "eel"]
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["state_dict"]["network.fc.weight"].shape == (3, 4)


def test_a_debug_run_deletes_nothing_but_debug_runs(tmp_path) -> None:
    from resnet_lit.config import load

    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years")
    with pytest.raises(FolderError, match="holds something other than a debug run"):
        run(load(*TINY, "+debug=fast_dev_run"), tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years"


WITHOUT_STATISTICS = """
from lightning.pytorch import Callback
from torch import nn

class Evaluating(Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
"""


def test_two_processes_learn_what_one_learns(tmp_path, monkeypatch) -> None:
    """DDP on the CPU, from a sweep: the same global batches, every test image answered once, in order; a record.

    But for BatchNorm, whose statistics are of half a batch each, the curves are those of one process: of a network whose stem
    is computed from training images, and trained in some epochs alone.
    """
    from resnet_lit.config import load

    (tmp_path / "statistics_kept.py").write_text(WITHOUT_STATISTICS)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = [*TINY, "+callbacks.evaluating._target_=statistics_kept.Evaluating", "trainer.accelerator=cpu", "augment=all"]
    words += ["model.stem=2x2", "model.stem_norm=false", "model.stem_init=whitened", "model.stem_frozen=1"]
    words += ["model.stem_bias_epochs=1", "optimizer.weight_decay=0.1", "data.batch_size=64", "checkpoint.keep=all"]
    words += ["augment.padding_mode=reflect", "augment.flip_mode=alternate", "augment.cutout=8", "data.resolution=[24,32]"]
    words += ["evaluation.tta=flip"]
    words += ["optimizer=muon", "+optimizer.groups.bias.lr_multiple=2", "averaging=ema", "averaging.every_steps=2"]
    two = ["-m", *words, "trainer.devices=2", "trainer.strategy=ddp", "hydra.sweep.dir=two", "seed=0"]
    ended = start(*two, cwd=tmp_path)
    run(load(*words), tmp_path / "one")
    assert ended.wait(timeout=300) == 0, ended.communicate()
    (record,) = (tmp_path / "two").rglob("result.json")
    assert read(record.parent)["hardware"]["devices"] == ["cpu", "cpu"]
    outputs = [np.load(folder / "test_outputs.npz") for folder in (tmp_path / "one", record.parent)]
    assert (outputs[0]["targets"] == outputs[1]["targets"]).all()
    for name in ("logits", "logits_tta"):
        assert np.allclose(outputs[0][name], outputs[1][name], rtol=1e-4, atol=1e-5)
    assert read(record.parent)["metrics"]["test/accuracy_tta"] == read(tmp_path / "one")["metrics"]["test/accuracy_tta"]
    checkpoints = [folder / "checkpoints" / "last.ckpt" for folder in (tmp_path / "one", record.parent)]
    one, two = (torch.load(path, weights_only=True)["state_dict"] for path in checkpoints)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    curves = []
    for folder in (tmp_path / "one", record.parent):
        with (folder / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        curves.append([float(row[name]) for name in ("train/loss_epoch", "val/loss") for row in rows if row[name]])
    assert len(curves[0]) == 4
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)
    assert curves[0][0] != pytest.approx(curves[0][1], rel=1e-3)  # it has learnt something


def test_batchnorm_over_processes_needs_gpus(tmp_path) -> None:
    from resnet_lit.config import load

    words = [*TINY, "trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp", "trainer.sync_batchnorm=true"]
    with pytest.raises(Refused, match=r"^trainer\.sync_batchnorm=true: works only on GPUs"):
        run(load(*words), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_what_the_trainer_refuses_is_one_line(tmp_path) -> None:
    process = start(*TINY, "trainer.strategy=foo", "hydra.run.dir=run", cwd=tmp_path)
    output = process.communicate()[0]
    assert process.returncode == 2
    assert output.startswith("trainer: ")
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []
