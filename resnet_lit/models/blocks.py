"""What the network is built of: the two residual blocks of He et al. 2015 (arXiv:1512.03385, figure 5), stem and transition.

A block adds two paths: convolutions, and a skip. The skip is the identity where the shape stays, else a K x K
convolution with BatchNorm (option B of section 3.3). Dropout2d, if any, follows every BatchNorm2d, as "Residual Network
Design" (Shandilya et al.) has it. ReLU, dropout and the sum work in place: no backward pass needs what they overwrite.
"""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from resnet_lit.models.architecture import STEMS, Architecture, ResidualLayer, is_subsampled


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


def norm(channels: int, a: Architecture) -> nn.BatchNorm2d:
    """BatchNorm. Without a trained scale the scale stays a parameter, of ones, as other programs expect it in a state_dict."""
    layer = nn.BatchNorm2d(channels, eps=a.norm_eps, momentum=a.norm_momentum)
    layer.weight.requires_grad_(a.norm_scale)
    return layer


def dropout2d(p: float) -> nn.Module:
    """Drops whole channels, (n, c, :, :), with probability p; the identity where p = 0, so that names stay the same."""
    return nn.Dropout2d(p, inplace=True) if p > 0 else nn.Identity()


def activation(a: Architecture) -> nn.Module:
    """The nonlinearity. GELU and SiLU need their input in the backward pass and do not work in place."""
    return {"relu": nn.ReLU(inplace=True), "gelu": nn.GELU(), "silu": nn.SiLU()}[a.activation]


def stem(a: Architecture) -> nn.Sequential:
    """Convolution, BatchNorm, dropout, activation, max-pool after 7x7: (N, in_channels, H, W) -> (N, stem_outputs, h, w)."""
    kernel, stride, padding, pool = STEMS[a.stem]
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(a.in_channels, a.stem_outputs, kernel, stride, padding, bias=not a.stem_norm))
    if a.stem_norm:
        layers.add_module("bn", norm(a.stem_outputs, a))
        layers.add_module("dropout", dropout2d(a.dropout))
    layers.add_module("activation", activation(a))
    if pool:
        layers.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
    layers.get_submodule("conv").weight.requires_grad_(not a.stem_frozen)
    return layers


def transition(in_channels: int, layer: ResidualLayer, a: Architecture) -> nn.Sequential:
    """Convolution, max-pool, BatchNorm, dropout, activation: (N, in_channels, H, W) -> (N, outputs, H // pool, W // pool).

    BatchNorm after the pool is airbench94's order (https://github.com/KellerJordan/cifar10-airbench): it has a quarter to do.
    """
    parts = OrderedDict[str, nn.Module](conv=conv(in_channels, layer.outputs, layer.kernel), pool=nn.MaxPool2d(layer.pool))
    parts |= {"bn": norm(layer.outputs, a), "dropout": dropout2d(a.dropout), "activation": activation(a)}
    return nn.Sequential(parts)


def skip_path(in_channels: int, channels: int, kernel: int, stride: int, a: Architecture) -> nn.Module:
    """The identity where the shape stays, else a convolution with BatchNorm."""
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    convolution = conv(in_channels, channels, kernel, stride)
    return nn.Sequential(OrderedDict(conv=convolution, bn=norm(channels, a), dropout=dropout2d(a.dropout)))


class SqueezeExcitation(nn.Module):
    """Scales each channel by a number in (0, 1) computed from the means of all: (N, C, H, W) -> (N, C, H, W).

    Hu et al. 2018, "Squeeze-and-Excitation Networks" (arXiv:1709.01507), equations 2 to 4; reduction is its r.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, channels // reduction)
        self.fc2 = nn.Linear(channels // reduction, channels)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.fc2(F.relu(self.fc1(x.mean((2, 3)))))
        return x * scale.sigmoid()[:, :, None, None]


def squeeze_excitation(channels: int, a: Architecture) -> nn.Module:
    """The identity where it is off."""
    return nn.Identity() if a.squeeze_excitation is None else SqueezeExcitation(channels, a.squeeze_excitation)


class BasicBlock(nn.Module):
    """Two convolutions: (N, in_channels, H, W) -> (N, channels, H / stride, W / stride)."""

    def __init__(self, in_channels: int, layer: ResidualLayer, stride: int, a: Architecture):
        super().__init__()
        channels = layer.channels
        self.conv1 = conv(in_channels, channels, layer.kernel, stride)
        self.bn1 = norm(channels, a)
        self.dropout1 = dropout2d(a.dropout)
        self.conv2 = conv(channels, channels, layer.kernel)
        self.bn2 = norm(channels, a)
        self.dropout2 = dropout2d(a.dropout)
        self.se = squeeze_excitation(channels, a)
        self.skip = skip_path(in_channels, channels, layer.skip_kernel, stride, a)
        self.activation = activation(a)

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.dropout1(self.bn1(self.conv1(x))))
        out = self.se(self.dropout2(self.bn2(self.conv2(out))))
        out += self.skip(x)
        return self.activation(out)


class Bottleneck(nn.Module):
    """Down to `channels`, convolve, up again: (N, in_channels, H, W) -> (N, 4 channels, H / stride, W / stride).

    The stride is on the middle convolution, as in torchvision ("ResNet v1.5"); He et al. have it on the first.
    """

    def __init__(self, in_channels: int, layer: ResidualLayer, stride: int, a: Architecture):
        super().__init__()
        channels, outputs = layer.channels, layer.outputs
        self.conv1 = conv(in_channels, channels, 1)
        self.bn1 = norm(channels, a)
        self.dropout1 = dropout2d(a.dropout)
        self.conv2 = conv(channels, channels, layer.kernel, stride)
        self.bn2 = norm(channels, a)
        self.dropout2 = dropout2d(a.dropout)
        self.conv3 = conv(channels, outputs, 1)
        self.bn3 = norm(outputs, a)
        self.dropout3 = dropout2d(a.dropout)
        self.se = squeeze_excitation(outputs, a)
        self.skip = skip_path(in_channels, outputs, layer.skip_kernel, stride, a)
        self.activation = activation(a)

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.dropout1(self.bn1(self.conv1(x))))
        out = self.activation(self.dropout2(self.bn2(self.conv2(out))))
        out = self.se(self.dropout3(self.bn3(self.conv3(out))))
        out += self.skip(x)
        return self.activation(out)
