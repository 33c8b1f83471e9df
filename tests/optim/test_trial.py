"""An optimizer that cannot make a step is refused before a run begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from resnet_lit.optim.build import build_optimizer
from resnet_lit.optim.trial import try_step
from resnet_lit.sections import Optimizer
from resnet_lit.typed import ConfigError

OWN = """
import torch

class Breaks(torch.optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("no\\nstep")

class Lion(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        loss = closure()
        for group in self.param_groups:
            for weights in group["params"]:
                weights.sub_(weights.grad.sign(), alpha=group["lr"])
        return loss

class NoRate(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {})

def made(params, lr):
    return torch.optim.SGD(params, lr=lr)
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_optimizers.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(72, 2))


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("torch.optim.SparseAdam", "SparseAdam does not support dense gradients"),
        ("own_optimizers.NoRate", "its parameter groups have no lr"),
        ("own_optimizers.Breaks", "fails in its first step: RuntimeError: no step$"),
    ],
)
def test_an_optimizer_whose_step_fails_is_refused_in_one_line(target: str, line: str) -> None:
    with pytest.raises(ConfigError, match=rf"^optimizer\._target_={target}: .*{line}"):
        try_step(network(), Optimizer(name="own", target=target, momentum=None), (3, 8, 8))


@pytest.mark.parametrize("target", ["torch.optim.Rprop", "torch.optim.Adagrad", "own_optimizers.made", "own_optimizers.Lion"])
def test_the_trial_step_leaves_weights_and_random_numbers(target: str) -> None:
    torch.manual_seed(0)
    net = network()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    expected = torch.random.get_rng_state()
    optimizer = Optimizer(name="own", target=target, momentum=None)
    try_step(net, optimizer, (3, 8, 8))
    assert torch.equal(torch.random.get_rng_state(), expected)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert isinstance(build_optimizer(net, optimizer), torch.optim.Optimizer)  # a function may give it, too
