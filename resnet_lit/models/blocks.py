"""The two residual blocks of He et al. 2015 (arXiv:1512.03385, figure 5), with kernels and dropout as parameters.

A block adds two paths: convolutions, and a skip. The skip is the identity where the shape stays, else a K x K
convolution with BatchNorm (option B of section 3.3). Dropout2d, if any, follows every BatchNorm2d, as "Residual Network
Design" (Shandilya et al.) has it. ReLU, dropout and the sum work in place: no backward pass needs what they overwrite.
"""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from resnet_lit.models.cost import is_subsampled


class SubsampledConv2d(nn.Conv2d):
    """A strided 1 x 1 convolution that takes the pixels it needs first: (N, C, H, W) -> (N, channels, H / stride, W / stride).

    The same sums as nn.Conv2d's, to rounding. On a CPU with AVX-512, torch 2.14 (oneDNN 3.12) overruns its memory in the weight
    gradient of the strided form where there are fewer than 16 input channels, and the process dies (docs/upstream/).
    """

    def forward(self, x: Tensor) -> Tensor:
        vertical, horizontal = self.stride
        return F.conv2d(x[:, :, ::vertical, ::horizontal], self.weight)


def conv(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size (kernel odd), but for its stride. No bias: BatchNorm follows."""
    kind = SubsampledConv2d if is_subsampled(in_channels, kernel, stride) else nn.Conv2d
    return kind(in_channels, channels, kernel, stride, padding=kernel // 2, bias=False)


def dropout2d(p: float) -> nn.Module:
    """Drops whole channels, (n, c, :, :), with probability p; the identity where p = 0, so that names stay the same."""
    return nn.Dropout2d(p, inplace=True) if p > 0 else nn.Identity()


def conv_bn(in_channels: int, channels: int, kernel: int, stride: int, dropout: float) -> nn.Sequential:
    """Convolution, BatchNorm, dropout: the stem before its ReLU, and a skip that changes the shape."""
    convolution = conv(in_channels, channels, kernel, stride)
    return nn.Sequential(OrderedDict(conv=convolution, bn=nn.BatchNorm2d(channels), dropout=dropout2d(dropout)))


def skip_path(in_channels: int, channels: int, kernel: int, stride: int, dropout: float) -> nn.Module:
    """The identity where the shape stays, else a convolution with BatchNorm."""
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    return conv_bn(in_channels, channels, kernel, stride, dropout)


class BasicBlock(nn.Module):
    """Two convolutions: (N, in_channels, H, W) -> (N, channels, H / stride, W / stride)."""

    def __init__(self, in_channels: int, channels: int, kernel: int, skip_kernel: int, stride: int, dropout: float):
        super().__init__()
        self.conv1 = conv(in_channels, channels, kernel, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.dropout1 = dropout2d(dropout)
        self.conv2 = conv(channels, channels, kernel)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout2 = dropout2d(dropout)
        self.skip = skip_path(in_channels, channels, skip_kernel, stride, dropout)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.dropout1(self.bn1(self.conv1(x))), inplace=True)
        out = self.dropout2(self.bn2(self.conv2(out)))
        out += self.skip(x)
        return F.relu(out, inplace=True)


class Bottleneck(nn.Module):
    """Down to `channels`, convolve, up again: (N, in_channels, H, W) -> (N, 4 channels, H / stride, W / stride).

    The stride is on the middle convolution, as in torchvision ("ResNet v1.5"); He et al. have it on the first.
    """

    def __init__(self, in_channels: int, channels: int, kernel: int, skip_kernel: int, stride: int, dropout: float):
        super().__init__()
        self.conv1 = conv(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.dropout1 = dropout2d(dropout)
        self.conv2 = conv(channels, channels, kernel, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout2 = dropout2d(dropout)
        self.conv3 = conv(channels, 4 * channels, 1)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.dropout3 = dropout2d(dropout)
        self.skip = skip_path(in_channels, 4 * channels, skip_kernel, stride, dropout)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.dropout1(self.bn1(self.conv1(x))), inplace=True)
        out = F.relu(self.dropout2(self.bn2(self.conv2(out))), inplace=True)
        out = self.dropout3(self.bn3(self.conv3(out)))
        out += self.skip(x)
        return F.relu(out, inplace=True)
