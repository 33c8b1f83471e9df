"""Shapes, parameters and multiply-adds of a residual network, counted from its numbers alone.

Pure Python: a config is checked against its parameter budget, and a thousand networks are compared, without importing
torch. `resnet_lit.models.resnet` builds the same network from the same `Architecture`; the tests hold the two together.

A *layer* of the user's config is one residual layer (a stage); a `Layer` here is one row of the summary, one module.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

STEMS = ("3x3", "7x7")
LEAST_STRIDED = 16  # input channels from which a strided 1 x 1 convolution is sound in oneDNN (models.blocks.SubsampledConv2d)
EXPANSION = {"basic": 1, "bottleneck": 4}  # output channels of a block over its C


class ResidualLayer(NamedTuple):
    """The numbers of one residual layer. `stride` is that of its first block; the others have 1."""

    blocks: int
    channels: int
    kernel: int
    skip_kernel: int
    stride: int


@dataclass(frozen=True)
class Architecture:
    """A residual network as plain numbers, checked when made. Raises ValueError with the user's config keys.

    The letters of "Residual Network Design" (Shandilya et al.): B = blocks, C = channels, F = kernels,
    K = skip_kernels, P = pool. Sequences are kept as tuples.
    """

    blocks: Sequence[int]  # B: residual blocks in each layer
    channels: Sequence[int]  # C: channels of each layer; a bottleneck block puts out 4 C
    kernels: int | Sequence[int] = 3  # F: of the blocks' convolutions (of a bottleneck, the middle one)
    skip_kernels: int | Sequence[int] = 1  # K: of the skip's convolution, where the shape changes
    strides: Sequence[int] | None = None  # of each layer; None: 1, then 2
    stem: str = "3x3"  # "3x3": stride 1 (CIFAR); "7x7": stride 2, then 3x3 max-pool of stride 2 (ImageNet)
    pool: int | None = None  # P: P x P average pool of stride P; None: over all pixels that are left
    block: str = "basic"  # "basic": two convolutions; "bottleneck": 1x1, FxF with the stride, 1x1
    dropout: float = 0.0  # probability of Dropout2d after every BatchNorm2d
    num_classes: int = 10
    in_channels: int = 3
    image_size: int = 32  # pixels a side

    def __post_init__(self) -> None:
        for name in ("blocks", "channels", "kernels", "skip_kernels", "strides"):
            value = getattr(self, name)
            if isinstance(value, Iterable):
                object.__setattr__(self, name, tuple(value))
        _check(self)

    @property
    def expansion(self) -> int:
        """Output channels of a block over its C."""
        return EXPANSION[self.block]

    @property
    def residual_layers(self) -> list[ResidualLayer]:
        """The numbers of each residual layer, in the order data meet them."""
        n = len(self.blocks)
        kernels = (self.kernels,) * n if isinstance(self.kernels, int) else self.kernels
        skip_kernels = (self.skip_kernels,) * n if isinstance(self.skip_kernels, int) else self.skip_kernels
        strides = (1,) + (2,) * (n - 1) if self.strides is None else self.strides
        columns = (self.blocks, self.channels, kernels, skip_kernels, strides)
        return [ResidualLayer(*numbers) for numbers in zip(*columns, strict=True)]

    @property
    def pixels(self) -> list[int]:
        """Pixels a side after the stem, and after each residual layer."""
        size = self.image_size
        if self.stem == "7x7":
            size = strided(strided(size, 2), 2)
        sizes = [size]
        for layer in self.residual_layers:
            sizes.append(strided(sizes[-1], layer.stride))
        return sizes

    @property
    def features(self) -> int:
        """Inputs of the classifier: the channels and pixels that the average pool leaves, flattened."""
        left = 1 if self.pool is None else self.pixels[-1] // self.pool
        return self.channels[-1] * self.expansion * left**2


@dataclass(frozen=True)
class Layer:
    """One module of the network: one row of its summary."""

    name: str  # dotted, as in `ResNet.named_modules()`
    kind: str  # class in torch.nn
    output_shape: tuple[int, ...]  # of one image: (C, H, W), or (classes,)
    parameters: int = 0  # trainable
    multiply_adds: int = 0  # for one image; of convolutions and the linear layer, as is customary


def is_subsampled(in_channels: int, kernel: int, stride: int) -> bool:
    """Whether a convolution of these numbers takes the pixels it needs before it convolves."""
    return kernel == 1 and stride > 1 and in_channels < LEAST_STRIDED


def has_subsampled(architecture: Architecture) -> bool:
    """Whether a network has a convolution that `is_subsampled`: then its last bits differ from those of torch's own."""
    width = architecture.channels[0]
    for layer in architecture.residual_layers:
        inner = width if architecture.block == "basic" else layer.channels  # input of the convolution with the stride
        if is_subsampled(inner, layer.kernel, layer.stride) or is_subsampled(width, layer.skip_kernel, layer.stride):
            return True
        width = layer.channels * architecture.expansion
    return False


def strided(pixels: int, stride: int) -> int:
    """Pixels a side after a window of odd size, padded by half of it (rounded down)."""
    return (pixels - 1) // stride + 1


def _check(a: Architecture) -> None:
    """Refuse numbers that do not make a network: ValueError, one sentence with key, value and remedy."""
    for key, example in (("blocks", "[2,2,2,2]"), ("channels", "[64,128,256,512]"), ("strides", "[1,2,2,2]")):
        value = getattr(a, key)
        if not (isinstance(value, tuple) and value) and not (key == "strides" and value is None):
            remedy = f"must be a list with one number per layer (try model.{key}={example})"
            raise ValueError(f"model.{key}={_shown(value)}: {remedy}")
    n = len(a.blocks)
    if len(a.channels) != n:
        raise ValueError(f"model.blocks has {n} values but model.channels has {len(a.channels)}: give one per layer")
    for key, rest in (("kernels", ", or one for all"), ("skip_kernels", ", or one for all"), ("strides", "")):
        value = getattr(a, key)
        if isinstance(value, tuple) and len(value) != n:
            raise ValueError(f"model.{key} has {len(value)} values but model.blocks has {n}: give one per layer{rest}")

    _check_positive("model.blocks", a.blocks, 2)
    _check_positive("model.channels", a.channels, 64)
    _check_positive("model.kernels", a.kernels, 3)
    _check_positive("model.skip_kernels", a.skip_kernels, 1)
    _check_positive("model.strides", a.strides, 1)
    _check_positive("model.pool", a.pool, 4)
    _check_positive("model.num_classes", a.num_classes, 10)
    _check_positive("in_channels", a.in_channels, 3)
    _check_positive("data.image_size", a.image_size, 32)
    _check_odd("model.kernels", a.kernels)
    _check_odd("model.skip_kernels", a.skip_kernels)
    if a.stem not in STEMS:
        raise ValueError(f"model.stem={a.stem}: must be 3x3 or 7x7 (try model.stem=3x3)")
    if a.block not in EXPANSION:
        raise ValueError(f"model.block={a.block}: must be basic or bottleneck (try model.block=basic)")
    if not 0 <= a.dropout < 1:
        raise ValueError(f"model.dropout={a.dropout:g}: must be at least 0 and below 1 (try model.dropout=0.25)")
    _check_pixels(a)


def _check_pixels(a: Architecture) -> None:
    """Every stride needs as many pixels as it is wide: on fewer it would only throw convolutions away."""
    if a.stem == "7x7" and a.image_size < 3:
        raise ValueError(f"data.image_size={a.image_size}: too few pixels for model.stem=7x7 (try model.stem=3x3)")
    strides = [layer.stride for layer in a.residual_layers]
    for i, (pixels, stride) in enumerate(zip(a.pixels, strides, strict=False)):
        if stride > pixels:
            possible = strides[:i] + [1] * (len(strides) - i)
            raise ValueError(
                f"model.strides={_shown(strides)}: only {pixels}x{pixels} pixels are left before layer {i + 1}, too "
                f"few for its stride of {stride} (try model.strides={_shown(possible)}, or fewer layers)"
            )
    left = a.pixels[-1]
    if a.pool is not None and a.pool > left:
        raise ValueError(f"model.pool={a.pool}: only {left}x{left} pixels are left before it (try model.pool={left})")


def _check_positive(key: str, value: Any, example: int) -> None:
    numbers = value if isinstance(value, tuple) else () if value is None else (value,)
    right = [isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in numbers]
    if not all(right):
        instead = [n if ok else example for n, ok in zip(numbers, right, strict=True)]
        remedy = _shown(instead if isinstance(value, tuple) else instead[0])
        raise ValueError(f"{key}={_shown(value)}: must be a whole number, at least 1 (try {key}={remedy})")


def _check_odd(key: str, value: int | Sequence[int]) -> None:
    numbers = (value,) if isinstance(value, int) else value
    if any(n % 2 == 0 for n in numbers):
        instead = [n if n % 2 else max(n - 1, 3) for n in numbers]
        remedy = _shown(instead if isinstance(value, tuple) else instead[0])
        raise ValueError(f"{key}={_shown(value)}: must be odd, so that padding keeps the size (try {key}={remedy})")


def _shown(value: Any) -> str:
    """A value as the user types it on the command line: [2,1,1]."""
    return "[" + ",".join(map(str, value)) + "]" if isinstance(value, list | tuple) else str(value)


def layers(architecture: Architecture) -> list[Layer]:
    """Every module that counts or changes the shape, in the order of `ResNet.named_modules()`; no ReLUs."""
    a = architecture
    image = (a.in_channels, a.image_size, a.image_size)
    if a.stem == "3x3":
        rows = _conv_bn("stem.", image, a.channels[0], 3, 1, a.dropout)
    else:
        rows = _conv_bn("stem.", image, a.channels[0], 7, 2, a.dropout)
        channels, height, width = rows[-1].output_shape
        rows.append(Layer("stem.pool", "MaxPool2d", (channels, strided(height, 2), strided(width, 2))))
    for i, layer in enumerate(a.residual_layers):
        for j in range(layer.blocks):
            stride = layer.stride if j == 0 else 1
            rows += _block(f"layers.{i}.{j}.", _output_shape(rows), layer, stride, a)

    channels, height, width = _output_shape(rows)
    if a.pool is None:
        rows.append(Layer("pool", "AdaptiveAvgPool2d", (channels, 1, 1)))
    else:
        rows.append(Layer("pool", "AvgPool2d", (channels, height // a.pool, width // a.pool)))
    weights = a.features * a.num_classes
    rows.append(Layer("fc", "Linear", (a.num_classes,), weights + a.num_classes, weights))
    return rows


def _block(prefix: str, shape: tuple[int, ...], layer: ResidualLayer, stride: int, a: Architecture) -> list[Layer]:
    """One residual block on an input of `shape`: its convolutions, then its skip where that is no identity."""
    inner, outer = layer.channels, layer.channels * a.expansion
    if a.block == "basic":
        convolutions = [(inner, layer.kernel, stride), (outer, layer.kernel, 1)]
    else:
        convolutions = [(inner, 1, 1), (inner, layer.kernel, stride), (outer, 1, 1)]
    rows: list[Layer] = []
    for n, (channels, kernel, step) in enumerate(convolutions, 1):
        rows += _conv_bn(prefix, _output_shape(rows) if rows else shape, channels, kernel, step, a.dropout, str(n))
    if stride != 1 or shape[0] != outer:
        rows += _conv_bn(f"{prefix}skip.", shape, outer, layer.skip_kernel, stride, a.dropout)
    return rows


def _conv_bn(
    prefix: str, shape: tuple[int, ...], channels: int, kernel: int, stride: int, dropout: float, number: str = ""
) -> list[Layer]:
    """Convolution without bias, BatchNorm, and Dropout2d if there is any, on an input of `shape`."""
    in_channels, height, width = shape
    output = (channels, strided(height, stride), strided(width, stride))
    weights = channels * in_channels * kernel**2
    rows = [
        Layer(f"{prefix}conv{number}", "Conv2d", output, weights, weights * output[1] * output[2]),
        Layer(f"{prefix}bn{number}", "BatchNorm2d", output, 2 * channels),
    ]
    if dropout > 0:
        rows.append(Layer(f"{prefix}dropout{number}", "Dropout2d", output))
    return rows


def _output_shape(rows: list[Layer]) -> tuple[int, ...]:
    """What the main path puts out: a skip is listed last but has the shape of what it is added to."""
    return rows[-1].output_shape


def count_parameters(architecture: Architecture) -> int:
    """Trainable parameters."""
    return sum(layer.parameters for layer in layers(architecture))


def count_multiply_adds(architecture: Architecture) -> int:
    """Multiply-adds of one image's forward pass, in convolutions and the linear layer.

    As fvcore counts their flops; torch's FlopCounterMode counts two for each.
    """
    return sum(layer.multiply_adds for layer in layers(architecture))


def table(architecture: Architecture) -> str:
    """The network module by module with its totals, like the paper's figures 5, 7, 9 and 11."""
    rows = layers(architecture)
    width = max(len("layer"), *(len(row.name) for row in rows)) + 2
    kind_width = max(len(row.kind) for row in rows) + 2

    def line(name: str, kind: str, shape: str, parameters: str, multiply_adds: str) -> str:
        return f"{name:<{width}}{kind:<{kind_width}}{shape:<18}{parameters:>12}{multiply_adds:>16}"

    head = line("layer", "kind", "output (C, H, W)", "parameters", "multiply-adds")
    rule = "-" * len(head)
    lines = [head]
    group = None
    for row in rows:
        parts = row.name.split(".")
        this = ".".join(parts[:2]) if parts[0] == "layers" else parts[0] if parts[0] == "stem" else "head"
        if this != group:  # a rule between stem, each residual layer and head
            lines.append(rule)
            group = this
        lines.append(
            line(
                row.name,
                row.kind,
                " x ".join(map(str, row.output_shape)),
                f"{row.parameters:,}",
                f"{row.multiply_adds:,}",
            )
        )
    lines += [
        rule,
        line("total", "", "", f"{count_parameters(architecture):,}", f"{count_multiply_adds(architecture):,}"),
    ]
    size = f"{architecture.in_channels} x {architecture.image_size} x {architecture.image_size}"
    lines.append(f"multiply-adds: of convolutions and the linear layer, forward, for one image of {size}")
    return "\n".join(lines)
