"""Random numbers as functions of what they are for: seed, stream, epoch, step, image. No state is kept between draws."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def generator(seed: int, stream: str, epoch: int, step: int = 0) -> torch.Generator:
    """A CPU generator whose state is a function of its arguments alone, mixed to 64 bits."""
    return torch.Generator().manual_seed(_mixed(f"{seed}/{stream}/{epoch}/{step}"))


def coins(seed: int, stream: str, indices: Tensor) -> Tensor:
    """A fair coin for each index: (n,) int64, on the CPU, from 0 on -> (n,) bool.

    A coin is a function of (seed, stream, index) alone, whatever other coins are asked for: the top bit of number `index` of the
    SplitMix64 generator (Steele, Lea and Flood 2014), in the wrapping arithmetic of int64.
    """
    bits = (indices + 1) * _signed(0x9E3779B97F4A7C15) + _signed(_mixed(f"{seed}/{stream}"))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        moved = (bits >> shift) & ((1 << (64 - shift)) - 1)  # >> repeats the sign, a logical shift does not
        bits = (bits ^ moved) * _signed(factor)
    return bits < 0


def _mixed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _signed(number: int) -> int:
    """A number below 2**64 as the int64 with the same bits."""
    return number - (1 << 64) if number >> 63 else number
