"""A residual network as plain numbers, checked when made.

Pure Python: a config is checked without importing torch. `resnet_lit.models.resnet` builds the network of an `Architecture`,
`resnet_lit.models.cost` counts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

LEAST_STRIDED = 16  # input channels from which a strided 1 x 1 convolution is sound in oneDNN (models.blocks.SubsampledConv2d)
EXPANSION = {"basic": 1, "bottleneck": 4}  # output channels of a block over its C
CHOICES = {  # the values that a key may have
    "stem": ("2x2", "3x3", "7x7"),
    "transition": ("strided", "pool"),
    "block": ("basic", "bottleneck"),
    "activation": ("relu", "gelu", "silu"),
    "init": ("kaiming", "dirac"),
    "pooling": ("average", "max"),
}


class Stem(NamedTuple):
    """The first convolution, and whether a 3 x 3 max-pool of stride 2 follows."""

    kernel: int
    stride: int
    padding: int
    pool: bool = False

    def pixels(self, size: int) -> list[int]:
        """Pixels a side after the convolution, and after the max-pool where there is one."""
        after = (size + 2 * self.padding - self.kernel) // self.stride + 1
        return [after, strided(after, 2)] if self.pool else [after]


STEMS = {"2x2": Stem(2, 1, 0), "3x3": Stem(3, 1, 1), "7x7": Stem(7, 2, 3, pool=True)}


class ResidualLayer(NamedTuple):
    """The numbers of one residual layer. `stride` is that of its first block; the others have 1."""

    blocks: int
    channels: int
    outputs: int  # channels that its blocks put out
    kernel: int
    skip_kernel: int
    stride: int
    pool: int  # kernel and stride of the max-pool in the transition before its blocks; 1: no transition


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
    # "2x2": no padding (airbench94); "3x3": stride 1 (CIFAR); "7x7": stride 2, then 3x3 max-pool of stride 2 (ImageNet)
    stem: str = "3x3"
    stem_channels: int | None = None  # None: C of the first layer
    stem_norm: bool = True  # BatchNorm after the stem's convolution; False: a bias instead
    stem_frozen: bool = False  # the stem's weight is never trained
    # How a layer of stride s > 1 begins. "strided": the first convolution of its first block has the stride. "pool": a
    # convolution, s x s max-pool, BatchNorm, activation, then its blocks at stride 1 (airbench94; DavidNet pools last).
    transition: str = "strided"
    pool: int | None = None  # P: kernel and stride of the pool before the classifier; None: over all pixels that are left
    pooling: str = "average"  # that pool's kind, "average" or "max"
    block: str = "basic"  # "basic": two convolutions; "bottleneck": 1x1, FxF with the stride, 1x1
    squeeze_excitation: int | None = None  # reduction ratio (Hu et al. 2018, arXiv:1709.01507); None: off
    activation: str = "relu"  # "relu", "gelu" or "silu"
    norm_momentum: float = 0.1  # BatchNorm: weight of a new batch in the running statistics
    norm_eps: float = 1e-5  # BatchNorm: added to the variance
    norm_scale: bool = True  # BatchNorm: False: its scale stays 1, its bias alone is trained
    dropout: float = 0.0  # probability of Dropout2d after every BatchNorm2d
    init: str = "kaiming"  # initial weights of the convolutions, "kaiming" or "dirac" (models.init)
    head_bias: bool = True  # of the classifier
    head_std: float | None = None  # the classifier's initial weights are scaled to this standard deviation; None: torch's own
    logit_scale: float = 1.0  # the logits are multiplied by it
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
    def stem_outputs(self) -> int:
        """Channels that the stem puts out."""
        return self.channels[0] if self.stem_channels is None else self.stem_channels

    @property
    def residual_layers(self) -> list[ResidualLayer]:
        """The numbers of each residual layer, in the order data meet them."""
        n = len(self.blocks)
        kernels = (self.kernels,) * n if isinstance(self.kernels, int) else self.kernels
        skip_kernels = (self.skip_kernels,) * n if isinstance(self.skip_kernels, int) else self.skip_kernels
        outputs = [channels * EXPANSION[self.block] for channels in self.channels]
        pools = self.all_strides if self.transition == "pool" else (1,) * n
        strides = (1,) * n if self.transition == "pool" else self.all_strides
        columns = (self.blocks, self.channels, outputs, kernels, skip_kernels, strides, pools)
        return [ResidualLayer(*numbers) for numbers in zip(*columns, strict=True)]

    @property
    def all_strides(self) -> Sequence[int]:
        """The stride of each layer, whatever gives it."""
        return (1,) + (2,) * (len(self.blocks) - 1) if self.strides is None else self.strides

    @property
    def pixels(self) -> list[int]:
        """Pixels a side after the stem, and after each residual layer."""
        sizes = STEMS[self.stem].pixels(self.image_size)[-1:]
        for layer in self.residual_layers:
            sizes.append(strided(sizes[-1] // layer.pool, layer.stride))
        return sizes

    @property
    def features(self) -> int:
        """Inputs of the classifier: the channels and pixels that the last pool leaves, flattened."""
        left = 1 if self.pool is None else self.pixels[-1] // self.pool
        return self.residual_layers[-1].outputs * left**2

    def at(self, image_size: int) -> Architecture:
        """The same network on images of another size, of image_size x image_size pixels, for counting.

        Raises ValueError where they are too small for it, or its classifier does not take what `pool` leaves of them.
        """
        other = replace(self, image_size=image_size)
        if other.features != self.features:
            raise ValueError(
                f"model.pool={self.pool}: leaves another number of features of images of {image_size}x{image_size} pixels than "
                f"of {self.image_size}x{self.image_size} (try model.pool=null)"
            )
        return other


def is_subsampled(in_channels: int, kernel: int, stride: int) -> bool:
    """Whether a convolution of these numbers takes the pixels it needs before it convolves."""
    return kernel == 1 and stride > 1 and in_channels < LEAST_STRIDED


def has_subsampled(architecture: Architecture) -> bool:
    """Whether a network has a convolution that `is_subsampled`: then its last bits differ from those of torch's own."""
    width = architecture.stem_outputs
    for layer in architecture.residual_layers:
        inner = width if architecture.block == "basic" else layer.channels  # input of the convolution with the stride
        if is_subsampled(inner, layer.kernel, layer.stride) or is_subsampled(width, layer.skip_kernel, layer.stride):
            return True
        width = layer.outputs
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
    _check_positive("model.stem_channels", a.stem_channels, 24)
    _check_positive("model.pool", a.pool, 4)
    _check_positive("model.squeeze_excitation", a.squeeze_excitation, 16)
    _check_positive("model.num_classes", a.num_classes, 10)
    _check_positive("in_channels", a.in_channels, 3)
    _check_positive("data.image_size", a.image_size, 32)
    _check_odd("model.kernels", a.kernels)
    _check_odd("model.skip_kernels", a.skip_kernels)
    for key, choices in CHOICES.items():
        if (value := getattr(a, key)) not in choices:
            said = " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
            neutral = Architecture.__dataclass_fields__[key].default
            raise ValueError(f"model.{key}={value}: must be {said} (try model.{key}={neutral})")
    if not 0 <= a.dropout < 1:
        raise ValueError(f"model.dropout={a.dropout:g}: must be at least 0 and below 1 (try model.dropout=0.25)")
    _check_pixels(a)
    if a.transition == "pool" and max(a.all_strides) == 1:
        raise ValueError(
            f"model.transition=pool: pools where a layer has a stride above 1, and none has (try model.strides={_shown([2] * n)})"
        )
    if a.squeeze_excitation is not None and a.squeeze_excitation > (least := min(layer.outputs for layer in a.residual_layers)):
        raise ValueError(
            f"model.squeeze_excitation={a.squeeze_excitation}: a reduction by more than the {least} channels that there are "
            f"(try model.squeeze_excitation={min(16, least)})"
        )


def _check_pixels(a: Architecture) -> None:
    """Every stride needs as many pixels as it is wide: on fewer it would only throw convolutions away."""
    if a.image_size < {"2x2": 2, "3x3": 1, "7x7": 3}[a.stem]:
        raise ValueError(f"data.image_size={a.image_size}: too few pixels for model.stem={a.stem} (try model.stem=3x3)")
    strides = list(a.all_strides)
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
