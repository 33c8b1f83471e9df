"""Muon: each step equals the source's, written out plainly; its part for the other parameters equals torch's SGD."""

from __future__ import annotations

import copy
import io
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from resnet_lit.config import load
from resnet_lit.optim.build import build_optimizer, build_scheduler
from resnet_lit.optim.muon import Muon, _iterated, _iterated_on_squares, orthogonalized


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 40, 2), nn.ReLU(), nn.Conv2d(40, 40, 2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 10)).to(memory_format=torch.channels_last)


def learn(model: nn.Module, step: int) -> Tensor:
    """Gradients of one batch, and its loss."""
    images = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(step))
    model.zero_grad()
    loss = nn.functional.cross_entropy(model(images), torch.arange(16) % 10)
    loss.backward()
    return loss


def whitened(gradient: Tensor, steps: int) -> Tensor:
    """One matrix, by the formulas of airbench94_muon.py."""
    x = gradient / (gradient.norm() + 1e-7)
    flip = len(x) > x.shape[1]
    x = x.T if flip else x
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if flip else x


@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_equal_those_of_the_source(nesterov: bool) -> None:
    ours, theirs = network(), network()
    filters = [p for p in theirs.parameters() if p.ndim == 4]
    others = [p for p in theirs.parameters() if p.ndim != 4]
    optimizer = Muon(ours.parameters(), lr=0.2, momentum=0.6, nesterov=nesterov, weight_decay=0.01, sgd_lr=0.3, sgd_momentum=0.85)
    sgd = torch.optim.SGD(others, lr=0.3, momentum=0.85, nesterov=nesterov, weight_decay=0.01)
    buffers = [torch.zeros_like(p) for p in filters]
    for step in range(4):
        assert optimizer.step(partial(learn, ours, step)).item() == pytest.approx(learn(theirs, step).item(), rel=1e-5)
        sgd.step()
        with torch.no_grad():
            for p, buffer in zip(filters, buffers, strict=True):
                buffer.mul_(0.6).add_(p.grad)
                update = p.grad + 0.6 * buffer if nesterov else buffer
                p.mul_(len(p) ** 0.5 / p.norm())
                p.sub_(whitened(update.reshape(len(p), -1), 3).view_as(p), alpha=0.2)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)


def test_without_a_fixed_norm_weight_decay_is_decoupled() -> None:
    p = nn.Parameter(torch.randn(4, 3, 3, 3))
    before, p.grad = p.detach().clone(), torch.randn_like(p)
    Muon([p], lr=0.1, weight_decay=0.5, normalize=False).step()
    update = whitened(p.grad.flatten(1), 3).view_as(p)  # in direction, momentum changes nothing in the first step
    torch.testing.assert_close(p.detach(), before * (1 - 0.1 * 0.5) - 0.1 * update, rtol=1e-4, atol=1e-5)


def test_both_ways_to_iterate_agree() -> None:
    """In bfloat16, on a GPU, the iteration is the source's own."""
    x = torch.randn(3, 8, 30, generator=torch.Generator().manual_seed(2))
    x /= x.norm(dim=(1, 2), keepdim=True)
    expected = torch.stack([whitened(matrix, 3) for matrix in x])
    torch.testing.assert_close(_iterated(x, 3), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(_iterated_on_squares(x, 3), expected, rtol=0, atol=1e-5)
    coarse = _iterated(x.bfloat16(), 3)
    assert coarse.dtype == torch.bfloat16
    torch.testing.assert_close(coarse.float(), expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("shape", [(5, 8, 3), (2, 6, 6), (3, 4, 30)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, s, vh = torch.linalg.svd(orthogonalized(matrices, steps=8).double(), full_matrices=False)
    assert ((s > 0.6) & (s < 1.3)).all()
    u0, _, vh0 = torch.linalg.svd(matrices.double(), full_matrices=False)
    torch.testing.assert_close(u @ vh, u0 @ vh0, rtol=0, atol=1e-4)


def test_no_gradient_no_step_and_zeros_stay_finite() -> None:
    still, zeros, flat = nn.Parameter(torch.ones(2, 1, 3, 3)), nn.Parameter(torch.zeros(2, 1, 3, 3)), nn.Parameter(torch.ones(2))
    zeros.grad, flat.grad = torch.zeros_like(zeros), torch.ones_like(flat)
    Muon([still, zeros, flat], sgd_momentum=0.0, nesterov=False, sgd_lr=0.25).step()
    assert torch.equal(still, torch.ones_like(still))
    assert torch.equal(zeros, torch.zeros_like(zeros))
    assert flat.tolist() == [0.75, 0.75]


def test_a_resumed_optimizer_makes_the_same_steps() -> None:
    def steps(model: nn.Module, optimizer: Muon, numbers: range) -> None:
        for step in numbers:
            learn(model, step)
            optimizer.step()

    whole, parts = network(), network()
    steps(whole, Muon(whole.parameters()), range(5))
    first = Muon(parts.parameters())
    steps(parts, first, range(2))
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second = Muon(parts.parameters(), lr=1.0)
    second.load_state_dict(torch.load(buffer, weights_only=True))
    steps(parts, second, range(2, 5))
    assert all(map(torch.equal, whole.parameters(), parts.parameters()))


def test_the_config_builds_it_with_groups_and_multiples() -> None:
    config = load(
        "optimizer=muon", "optimizer.args.sgd_lr=0.5", "+optimizer.groups.head.lr_multiple=4", "optimizer.weight_decay=0.01"
    )
    model = network()
    optimizer = build_optimizer(model, config.optimizer)
    rates = {id(p): (g["lr"], g["momentum"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert rates[id(model[0].weight)] == (0.24, 0.6, 0.01)
    assert rates[id(model[1].bias)] == (0.5, 0.85, 0.01)
    assert rates[id(model[8].weight)] == rates[id(model[8].bias)] == (2.0, 0.85, 0.01)
    plain = build_optimizer(model, load("optimizer=muon", "optimizer.nesterov=false").optimizer)
    assert [{g["nesterov"] for g in one.param_groups} for one in (optimizer, plain)] == [{True}, {False}]


def test_filters_whose_epochs_are_over_stay() -> None:
    model = network()
    config = load("optimizer=muon", "+optimizer.groups.conv.epochs=1", "scheduler=linear")
    optimizer = build_optimizer(model, config.optimizer)
    scheduler = build_scheduler(optimizer, config.scheduler, epochs=3, steps_per_epoch=2)["scheduler"]
    kept = []
    for _ in range(6):
        learn(model, 0)
        optimizer.step()
        scheduler.step()
        kept.append((model[0].weight.detach().clone(), model[8].weight.detach().clone()))
    assert not torch.equal(kept[0][0], kept[1][0])
    assert all(torch.equal(kept[1][0], filters) for filters, _ in kept[2:])
    assert not torch.equal(kept[1][1], kept[2][1])


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="sgd_lr must be above 0"):
        Muon(copy.deepcopy(network()).parameters(), sgd_lr=-1)
