"""A stem of whitened patches whose weight is trained from the second epoch on, and whose bias in the first two alone."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from tests_support import TINY, tensors_equal
from torch import Tensor, nn

from resnet_lit.callbacks.interrupt import Interrupted
from resnet_lit.config import load
from resnet_lit.datamodule import ImageData
from resnet_lit.models.init import WHITENING_IMAGES, whiten
from resnet_lit.network import build_network
from resnet_lit.optim.build import build_optimizer
from resnet_lit.run import run
from resnet_lit.training import load_module
from resnet_lit.typed import ConfigError

STEM = ("model.stem=2x2", "model.stem_norm=false", "model.stem_init=whitened", "model.stem_channels=26")
PARTS = ("model.stem_frozen=1", "model.stem_bias_epochs=2")
WORDS = (*TINY, *STEM, *PARTS, "trainer.max_epochs=3", "logger=none", "+callbacks.notes._target_=stem_notes.Notes")

NOTES = """
import os, signal
import torch
from lightning.pytorch import Callback

SEEN = []  # (epoch, whether the stem's weight and bias have a gradient) before each step, and their values after it

class Notes(Callback):
    '''Ends the run after the steps in STOP_AT.'''

    def on_before_optimizer_step(self, trainer, module, optimizer):
        conv = module.network.stem.conv
        self.trained = [parameter.grad is not None for parameter in (conv.weight, conv.bias)]

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        conv = module.network.stem.conv
        SEEN.append((trainer.current_epoch, *self.trained, conv.weight.detach().clone(), conv.bias.detach().clone()))
        steps = os.environ.get("STOP_AT", "").split()
        if str(trainer.global_step) in steps:
            os.environ["STOP_AT"] = " ".join(steps[1:])
            os.kill(os.getpid(), signal.SIGTERM)

    def on_train_end(self, trainer, module):
        torch.save(SEEN, os.path.join(trainer.default_root_dir, "seen.pt"))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a run that was not interrupted, of 3 epochs of 3 steps; stem_notes can be imported."""
    where = tmp_path_factory.mktemp("stem")
    (where / "stem_notes.py").write_text(NOTES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(where))
        import stem_notes

        stem_notes.SEEN.clear()
        run(load(*WORDS), where / "whole")
        yield where / "whole"


def stem_of(folder: Path) -> list[tuple[int, bool, bool, Tensor, Tensor]]:
    """After every step: epoch, whether weight and bias had a gradient, weight, bias."""
    seen: list[tuple[int, bool, bool, Tensor, Tensor]] = torch.load(folder / "seen.pt", weights_only=True)
    return seen


@pytest.mark.slow
def test_each_is_trained_in_its_epochs_alone(whole: Path) -> None:
    """Neither weight decay nor momentum moves what is not trained, and no gradient of it is computed."""
    seen = stem_of(whole)
    assert [step[:3] for step in seen] == [*[(0, False, True)] * 3, *[(1, True, True)] * 3, *[(2, True, False)] * 3]
    for before, after in itertools.pairwise(seen):
        _, weight_trained, bias_trained, weight, bias = after
        assert torch.equal(weight, before[3]) == (not weight_trained)
        assert torch.equal(bias, before[4]) == (not bias_trained)


@pytest.mark.slow
def test_the_stem_starts_with_whitened_patches_of_random_training_images(whole: Path) -> None:
    config = load(*WORDS)
    data = ImageData(config)
    sample = data.sample("stem", WHITENING_IMAGES)
    assert sample.shape == (192, 3, 32, 32)  # as many as there are
    few = data.sample("stem", 20)
    assert torch.equal(few, ImageData(config).sample("stem", 20))
    assert not torch.equal(few, ImageData(load(*WORDS, "seed=1")).sample("stem", 20))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in data.normalization)
    conv = nn.Conv2d(3, 26, 2)
    whiten(conv, (sample.float() / 255 - mean) / std, 5e-4)
    first = stem_of(whole)[0][3]
    torch.testing.assert_close(first[:24], conv.weight.detach()[:24], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_run_stopped_within_epochs_ends_with_the_same_weights(whole: Path, monkeypatch) -> None:
    """Once where the weight has just begun, with a momentum of one step, and once where the bias has stopped."""
    folder = whole.parent / "parts"
    monkeypatch.setenv("STOP_AT", "4 8")
    for _ in range(2):
        with pytest.raises(Interrupted):
            run(load(*WORDS), folder)
    run(load(*WORDS), folder)
    assert tensors_equal(whole, folder)


@pytest.mark.slow
def test_a_trained_network_is_read_without_images(whole: Path, monkeypatch) -> None:
    monkeypatch.setattr(ImageData, "sample", None)
    network = load_module(whole / "checkpoints" / "last.ckpt").network
    assert torch.equal(network.stem.conv.weight, stem_of(whole)[-1][3])
    record = json.loads((whole / "result.json").read_text())
    assert record["model"]["parameters"] == record["model"]["trained"]  # at one time or another


def test_a_weight_that_is_always_frozen_is_no_matter_of_the_optimizer() -> None:
    config = load(*TINY, *STEM, "model.stem_frozen=always", "model.norm_scale=false")
    network = build_network(config.model, 10)
    fixed = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert fixed == {"stem.conv.weight"} | {name for name in network.state_dict() if ".bn" in name and name.endswith("weight")}
    held = {id(p) for group in build_optimizer(network, config.optimizer).param_groups for p in group["params"]}
    assert held == {id(parameter) for name, parameter in network.named_parameters() if name not in fixed}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("model.stem_bias_epochs=2",), "model.stem_bias_epochs=2: the stem has no bias of its own .*model.stem_norm=false"),
        (("model.stem_init=whitened", "model.stem_channels=1"), "model.stem_init=whitened: needs two channels"),
        (("model.stem_frozen=never",), "model.stem_frozen=never: must be a whole number or one of always"),
    ],
)
def test_keys_of_the_stem_that_do_not_go_together_are_refused(words: tuple[str, ...], line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        load("model=model1", *words)
