"""One step of an optimizer of the user's own before a run begins: what cannot make it is refused, not failed."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from resnet_lit.optim.build import build_optimizer, switch
from resnet_lit.sections import MUON, Optimizer
from resnet_lit.typed import ConfigError

KNOWN = ("torch.optim.SGD", "torch.optim.Adam", "torch.optim.AdamW", MUON)  # of the package's own configs
TRIED = 2  # images: BatchNorm takes no less


def try_step(network: nn.Module, optimizer: Optimizer, shape: tuple[int, int, int]) -> None:
    """Make one step on a copy of the network with black images of `shape`, (C, H, W), as Lightning makes it: with a closure.

    Weights and the state of the random numbers stay. Raises ConfigError, one line, with what the optimizer raises.
    """
    if optimizer.target in KNOWN:
        return
    with torch.random.fork_rng(devices=[]):
        tried = copy.deepcopy(network).train()
        built = build_optimizer(tried, optimizer, fused=False)
        images = torch.zeros(TRIED, *shape).contiguous(memory_format=torch.channels_last)

        @torch.enable_grad()  # as Lightning's: a step under no_grad may call it
        def closure() -> Tensor:
            built.zero_grad()
            loss = tried(images).float().logsumexp(1).mean()
            loss.backward()
            return loss

        try:
            switch(built, "train")
            built.step(closure)  # type: ignore[arg-type]  # torch says float, Lightning gives it a tensor
        except Exception as error:  # whatever the user's class raises
            line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ConfigError(f"optimizer._target_={optimizer.target}: fails in its first step: {line}") from error
