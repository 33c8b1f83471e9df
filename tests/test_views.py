"""Runs on smaller images first, with augmentations that know the image and the epoch, tested with several views of each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_runs import make_run
from tests_support import TINY, tensors_equal
from torch import Tensor

from resnet_lit.callbacks.interrupt import Interrupted
from resnet_lit.config import load
from resnet_lit.datamodule import ImageData
from resnet_lit.evaluate import evaluate, report
from resnet_lit.identity import identity
from resnet_lit.preflight import Cell, _tell_of_views
from resnet_lit.record import Record, read
from resnet_lit.run import config_of, run
from resnet_lit.training import load_module
from resnet_lit.tta import averaged

pytestmark = pytest.mark.slow

WORDS = (
    *TINY,
    *("trainer.max_epochs=3", "data.resolution=[16,24,32]", "augment=crop_flip", "augment.padding_mode=reflect"),
    *("augment.flip_mode=alternate", "augment.cutout=8", "logger=none", "evaluation.tta=6", "model.stem_frozen=1"),
)

STOP = """
import os, signal
from lightning.pytorch import Callback

SEEN = []

class Stop(Callback):
    '''Notes the size of every batch; ends the run within its second epoch where STOP_AT says so.'''
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        SEEN.append(batch[0].shape[-1])
        if os.environ.get("STOP_AT") == str(trainer.global_step):
            os.environ.pop("STOP_AT")
            os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a run that was not interrupted; own_stop can be imported."""
    where = tmp_path_factory.mktemp("views")
    (where / "own_stop.py").write_text(STOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(where))
        import own_stop

        own_stop.SEEN.clear()
        run(load(*WORDS, "+callbacks.stop._target_=own_stop.Stop"), where / "whole")
        assert own_stop.SEEN == [16] * 3 + [24] * 3 + [32] * 3
        yield where / "whole"


def test_a_run_that_was_stopped_within_an_epoch_ends_with_the_same_weights(whole: Path, monkeypatch) -> None:
    config, folder = load(*WORDS, "+callbacks.stop._target_=own_stop.Stop"), whole.parent / "parts"
    monkeypatch.setenv("STOP_AT", "5")
    with pytest.raises(Interrupted):
        run(config, folder)
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 5
    resumed = run(config, folder)
    assert tensors_equal(whole, folder)
    assert resumed["metrics"] == record_of(whole)["metrics"]


def test_the_record_has_both_the_single_view_and_the_mean_of_views(whole: Path) -> None:
    record = record_of(whole)
    assert 0 < record["petaflops"] < 6 * record["model"]["macs"] * 3 * 192 / 1e15
    found, outputs = record["metrics"], np.load(whole / "test_outputs.npz")
    assert record["tta"] == 6
    for name, logits in (("test/accuracy", "logits"), ("test/accuracy_tta", "logits_tta")):
        assert found[name] == pytest.approx((outputs[logits].argmax(1) == outputs["targets"]).mean(), abs=1e-6)
    single, views, targets = evaluated(whole, "test")
    assert np.allclose(outputs["logits"], single, rtol=0, atol=1e-4)
    assert np.allclose(outputs["logits_tta"], views, rtol=0, atol=1e-4)
    assert not np.allclose(outputs["logits_tta"], outputs["logits"], rtol=0, atol=1e-3)
    single, views, targets = evaluated(whole, "validation")
    assert found["val/accuracy"] == pytest.approx(float((single.argmax(1) == targets).float().mean()), abs=1e-6)
    assert found["val/accuracy_tta"] == pytest.approx(float((views.argmax(1) == targets).float().mean()), abs=1e-6)


def test_an_evaluation_has_several_views_where_asked_for(whole: Path) -> None:
    found = {tta: evaluate(whole, words) for tta, words in ((6, []), ("flip", ["evaluation.tta=flip"]))}
    recorded = record_of(whole)["metrics"]
    for tta, (folder, result) in found.items():
        assert result["accuracy"] == pytest.approx(recorded["test/accuracy"])
        assert (result["tta"]["name"], folder.name.endswith(f"-test-tta-{tta}")) == (tta, True)
        logits = np.load(folder / "outputs.npz")["logits_tta"]
        assert result["tta"]["accuracy"] == pytest.approx((logits.argmax(1) == np.load(folder / "outputs.npz")["targets"]).mean())
        assert f"accuracy with TTA ({tta}) {100 * result['tta']['accuracy']:.2f}%" in report(result)
        assert f"accuracy with TTA ({tta})" in (folder / "evaluation.html").read_text()
    assert found[6][1]["tta"]["accuracy"] == pytest.approx(recorded["test/accuracy_tta"])  # as the run has it
    folder, single = evaluate(whole, ["evaluation.tta=none"])
    assert "tta" not in single
    assert "logits_tta" not in np.load(folder / "outputs.npz")


def test_other_views_of_a_finished_run_train_nothing(whole: Path, caplog) -> None:
    done = run(load(*WORDS, "+callbacks.stop._target_=own_stop.Stop", "evaluation.tta=flip"), whole)
    assert done["ended"] == record_of(whole)["ended"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("evaluation.tta=flip: this run has ended and was not tested so; ")
    assert line.endswith(f"-m resnet_lit.evaluate run={whole} evaluation.tta=flip does")


def test_a_multirun_says_which_ended_runs_were_not_tested_so(tmp_path: Path, capsys) -> None:
    config = load(*WORDS, "evaluation.tta=flip")
    folders = [make_run(tmp_path / str(tta), tta=tta) for tta in ("flip", None, 6)]
    _tell_of_views([Cell((), config, folder) for folder in [*folders, tmp_path / "not yet"]])
    told = capsys.readouterr().err
    assert told.startswith("evaluation.tta=flip: 2 of 4 runs have ended and were not tested so; ")
    assert told.endswith(f"run={tmp_path / 'None'} evaluation.tta=flip does for the first\n")


def test_what_is_read_at_the_end_is_no_part_of_what_is_trained(whole: Path) -> None:
    assert identity(load(*WORDS, "evaluation.tta=flip")) == identity(load(*WORDS, "evaluation.tta=none"))


def record_of(folder: Path) -> Record:
    record = read(folder)
    assert record is not None
    assert record["status"] == "finished", record["reason"]
    return record


def evaluated(folder: Path, part: str) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of the chosen weights on a part of the data, of one view and of six, and the targets."""
    data, module = ImageData(config_of(folder)), load_module(folder / "checkpoints" / "best.ckpt")
    arrays, indices = {
        "test": (data.arrays("test"), data.test_indices),
        "validation": (data.arrays("train"), data.validation_indices),
    }[part]
    images, targets = (torch.from_numpy(array[np.asarray(indices)]) for array in arrays)
    with torch.inference_mode():
        single = module(images)
        return single, averaged(module, images, single, 6), targets
