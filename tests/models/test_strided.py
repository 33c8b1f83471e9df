"""Strided 1x1 convolutions of few channels: torch's own could overrun memory, so they run in a process of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from tests_support import ROOT
from torch import nn

from resnet_lit.models.blocks import SubsampledConv2d, conv
from resnet_lit.models.resnet import ResNet

# Shapes that end a process on a CPU with AVX-512 where torch's own strided convolution is used: a thread that begins within an
# image writes past its memory. An odd batch on two threads, an even one on three, large images on one.
BAD_SHAPES = """
import torch
from torch import nn
from resnet_lit.models.blocks import conv

for threads, batch, channels, size in ((2, 127, 8, 32), (2, 3, 15, 32), (3, 4, 8, 32), (1, 1, 8, 128), (1, 2, 15, 64)):
    torch.set_num_threads(threads)
    layer = conv(channels, 16, 1, 2).to(memory_format=torch.channels_last)
    images = torch.randn(batch, channels, size, size).to(memory_format=torch.channels_last)
    exact = nn.Conv2d(channels, 16, 1, 2, bias=False).double()
    exact.load_state_dict(layer.state_dict())
    for _ in range(5):
        layer.zero_grad()
        layer(images).square().sum().backward()
    exact(images.double()).square().sum().backward()
    atol = 1e-3 * exact.weight.grad.abs().max()
    torch.testing.assert_close(layer.weight.grad.double(), exact.weight.grad, rtol=1e-4, atol=atol)
print("all gradients right")
"""


def test_bad_shapes_give_right_gradients_and_the_process_lives() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BAD_SHAPES], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "3"}
    )
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-500:]}"
    assert done.stdout == "all gradients right\n"


def test_only_strided_1x1_convolutions_of_few_channels_are_subsampled() -> None:
    assert type(conv(8, 16, 1, 2)) is SubsampledConv2d
    for numbers in ((16, 32, 1, 2), (8, 16, 3, 2), (8, 16, 1, 1)):
        assert type(conv(*numbers)) is nn.Conv2d


@pytest.mark.parametrize(("stride", "size"), [(2, 9), (2, 16), (3, 16), (4, 32)])
def test_subsampling_computes_what_the_strided_convolution_does(stride: int, size: int) -> None:
    ours, torchs = SubsampledConv2d(8, 4, 1, stride, bias=False).double(), nn.Conv2d(8, 4, 1, stride, bias=False).double()
    torchs.load_state_dict(ours.state_dict())
    results = []
    for layer in (ours, torchs):
        images = torch.randn(
            3, 8, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
        )
        output = layer(images)
        output.square().sum().backward()
        results.append((output, images.grad, layer.weight.grad))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_names_of_weights_stay() -> None:
    assert "layers.1.0.skip.conv.weight" in ResNet([1, 1], [8, 16]).state_dict()
    ResNet([1, 1], [8, 16]).load_state_dict(ResNet([1, 1], [8, 16]).state_dict())
