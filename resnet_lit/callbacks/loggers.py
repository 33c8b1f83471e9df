"""What a logger of a whole run can do, beside taking numbers: TensorBoard, Weights & Biases and MLflow."""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol, runtime_checkable

import torch

from resnet_lit.typed import ConfigError


@runtime_checkable
class RunLogger(Protocol):
    """A Lightning logger that knows when a run begins and ends, and takes pictures. Others get the numbers alone."""

    def start(self, values: dict[str, Any], metrics: list[str]) -> None:
        """The run begins, or goes on. values: what it is, flat; metrics: the names of its final results."""

    def image(self, tag: str, image: torch.Tensor, step: int) -> None:
        """One picture. image: (3, H, W) uint8."""

    def finish(self, results: dict[str, float], step: int) -> None:
        """The final metrics."""

    def close(self) -> None:
        """Nothing more will come."""


def need(package: str, extra: str) -> None:
    """Raise ConfigError where an optional package is missing."""
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"logger={extra}: needs the package {package}: pip install 'resnet_lit[{extra}]'")
