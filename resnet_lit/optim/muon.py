"""Muon for convolutions, SGD for everything else, as one torch optimizer.

Source: Keller Jordan's Muon (https://kellerjordan.github.io/posts/muon/) in the form of airbench94_muon.py
(https://github.com/KellerJordan/cifar10-airbench): coefficients and number of Newton-Schulz steps, Nesterov's momentum before the
orthogonalisation, and each bank of filters kept at a fixed norm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.sgd import sgd

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of X, X X^T X and (X X^T)^2 X: the greatest slope at a singular value of 0
EPSILON = 1e-7


def orthogonalized(matrices: Tensor, steps: int = 3) -> Tensor:
    """Matrices with the singular vectors of `matrices` and singular values near 1 (about 0.5 to 1.5): (N, rows, columns) -> same.

    A quintic Newton-Schulz iteration, without a singular value decomposition: X <- (a + b X X^T + c (X X^T)^2) X. In bfloat16
    on a GPU, as in the source; in float32 on a CPU, most of which compute bfloat16 no faster. The result is of that dtype.
    """
    x = matrices.to(torch.bfloat16 if matrices.device.type == "cuda" else torch.float32)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + EPSILON)  # no singular value above 1
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x  # the smaller square
    x = _iterated_on_squares(x, steps) if x.dtype == torch.float32 else _iterated(x, steps)
    return x.mT if tall else x


def _iterated(x: Tensor, steps: int) -> Tensor:
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


def _iterated_on_squares(x: Tensor, steps: int) -> Tensor:
    """The same, with the factors P multiplied first: after a step, X X^T is P X X^T P. Half of the work where X has nine times as
    many columns as rows; bfloat16 would be too coarse for it.
    """
    a, b, c = COEFFICIENTS
    square, factors = x @ x.mT, None
    for step in range(steps):
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        factors = factor if factors is None else factor @ factors
        if step < steps - 1:
            square = factor @ square @ factor
    return x if factors is None else factors @ x


class Muon(Optimizer):
    """Orthogonalised momentum for convolutions' weights, torch's SGD for the other parameters, all in one state and one step.

    A weight of more than two dimensions, (filters, ...), is a bank of filters: one matrix with a row for each filter. Its
    update is the orthogonalised momentum times `lr`. With `normalize` the bank is first scaled to the norm sqrt(filters): `lr`
    is then a share of it, and weight decay would have no effect, so there is none. Without, weight decay is decoupled, as in
    AdamW. Banks of one shape are orthogonalised together. Nothing waits for the device.

    lr, momentum: of banks of filters; sgd_lr, sgd_momentum: of the others; nesterov (the source: True), weight_decay: of both.
    steps: of the Newton-Schulz iteration. A parameter group's own lr, momentum and weight_decay hold for all of its parameters;
    its lr_multiple multiplies `lr` and `sgd_lr`. Raises ValueError for values out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.24,
        momentum: float = 0.6,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        sgd_lr: float = 0.1,
        sgd_momentum: float = 0.85,
        steps: int = 3,
        normalize: bool = True,
    ) -> None:
        if lr <= 0 or sgd_lr <= 0 or weight_decay < 0 or steps < 1 or not (0 <= momentum < 1 and 0 <= sgd_momentum < 1):
            raise ValueError("lr and sgd_lr must be above 0, weight_decay at least 0, momenta in [0, 1), steps at least 1")
        self.sgd = {"lr": sgd_lr, "momentum": sgd_momentum}
        given = list(params)
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        defaults = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        defaults |= {"steps": steps, "normalize": normalize, "filters": False}
        super().__init__([part for group in groups for part in self._parts(group, lr)], defaults)

    def _parts(self, group: dict[str, Any], lr: float) -> list[dict[str, Any]]:
        """The banks of filters and the other parameters of a group, as two groups; fewer where it lacks the one or the other."""
        params = list(group["params"])
        others = {**self.sgd, **group, "params": [p for p in params if p.ndim <= 2]}
        if "lr_multiple" in group:
            others["lr"] = self.sgd["lr"] * group["lr_multiple"]
        others["lr_multiple"] = others["lr"] / lr
        filters = {**group, "params": [p for p in params if p.ndim > 2], "filters": True}
        return [part for part in (filters, others) if part["params"]]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step with the gradients that `closure` computes, or that are there. Returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            is_over = "epochs" in group and group["lr"] == 0  # of a rule of optimizer.groups: not even the norm changes then
            if not params or is_over:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            step = _step_filters if group["filters"] else _step_others
            step(group, params, [p.grad for p in params], [self.state[p]["momentum_buffer"] for p in params])
        return loss


def _step_others(group: dict[str, Any], params: list[Tensor], grads: list[Tensor], buffers: list[Tensor]) -> None:
    values = {key: group[key] for key in ("lr", "momentum", "weight_decay", "nesterov")}
    sgd(params, grads, buffers, foreach=True, dampening=0.0, maximize=False, **values)  # type: ignore[arg-type]


def _step_filters(group: dict[str, Any], params: list[Tensor], grads: list[Tensor], buffers: list[Tensor]) -> None:
    lr, momentum = group["lr"], group["momentum"]
    torch._foreach_mul_(buffers, momentum)
    torch._foreach_add_(buffers, grads)
    updates = torch._foreach_add(grads, buffers, alpha=momentum) if group["nesterov"] else buffers
    if group["normalize"]:
        for p, norm in zip(params, torch._foreach_norm(params), strict=True):
            p.mul_(len(p) ** 0.5 / norm.clamp(min=EPSILON))  # a bank of zeros stays one
    elif group["weight_decay"]:
        torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
    banks: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, p in enumerate(params):
        banks[len(p), p[0].numel()].append(index)
    for indices in banks.values():
        matrices = torch.stack([updates[i].reshape(len(updates[i]), -1) for i in indices])
        for i, matrix in zip(indices, orthogonalized(matrices, group["steps"]), strict=True):
            params[i].add_(matrix.reshape(params[i].shape), alpha=-lr)
