"""The global random generators: their states as plain data, and other streams for other processes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from resnet_lit.data.draws import generator


def random_state() -> dict[str, Any]:
    """The state of every global random generator of this process and its device, as plain data and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put every global random generator where `random_state` found it."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def seed_apart(seed: int, rank: int) -> None:
    """Give torch's generator in the processes after the first streams of their own: dropout masks are drawn from them.

    Called when the weights have been initialised, equally in all processes. The first one goes on as a single process would.
    """
    if rank > 0:
        torch.manual_seed(generator(seed, "process", rank).initial_seed())
