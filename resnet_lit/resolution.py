"""The side of the training images, epoch by epoch: `data.resolution` and `data.resolution_shares`. No torch here.

A run that begins with smaller images costs less (progressive resizing: fast.ai's DAWNBench entry of 2018; Tan and Le 2021, arXiv
2104.00298, section 4). Training images are resized after the augmentation; validation and test are at full size throughout.
"""

from __future__ import annotations

from dataclasses import replace

from resnet_lit.models.architecture import Architecture
from resnet_lit.sections import Data
from resnet_lit.typed import ConfigError, show


def pixels_in(data: Data, epoch: int, epochs: float) -> int | None:
    """The side in pixels of the training images in `epoch`, counted from 0, of a run of `epochs`; None: their full size.

    An epoch has the size of the phase in which it ends, so the last epoch has the full size, however short the run is.
    """
    if data.resolution is None:
        return None
    shares = data.resolution_shares or (1.0,) * len(data.resolution)
    ends = 0.0
    for pixels, share in zip(data.resolution, shares, strict=True):
        ends += share / sum(shares) * epochs
        if epoch + 1 <= ends + 1e-6:
            return pixels
    return data.resolution[-1]


def sizes(data: Data, full: int) -> list[int]:
    """Every side that a run's images have, in training or in an evaluation: the full one last."""
    return [*dict.fromkeys(pixels for pixels in data.resolution or () if pixels != full), full]


def check(data: Data, full: int | None, network: Architecture | None) -> None:
    """Refuse a schedule that cannot be trained. full: side of the images; None where it is not known yet: the last size then.

    network: on images of any size, None for a class of the user's own. Raises ConfigError.
    """
    if data.resolution is None:
        if data.resolution_shares is not None:
            raise ConfigError(
                f"data.resolution_shares={show(data.resolution_shares)}: say how long each size of data.resolution is kept, "
                "which is not given (try data.resolution=[24,28,32])"
            )
        return
    key, shares = f"data.resolution={show(data.resolution)}", data.resolution_shares
    if not data.resolution:
        raise ConfigError(f"{key}: names no size (try data.resolution=[24,28,32], or null for full size throughout)")
    if shares is not None and len(shares) != len(data.resolution):
        raise ConfigError(
            f"data.resolution_shares={show(shares)}: must have one number for each size of {key} (try data.resolution_shares="
            f"{show([1] * len(data.resolution))})"
        )
    full = data.resolution[-1] if full is None else full
    if data.resolution[-1] != full:
        raise ConfigError(
            f"{key}: must end with the full size of the images, at which they are evaluated (try data.resolution="
            f"{show([*(pixels for pixels in data.resolution if pixels < full), full])})"
        )
    if max(data.resolution) > full:
        raise ConfigError(f"{key}: {max(data.resolution)} is more than the {full} pixels that the images have")
    for pixels in data.resolution:
        try:
            if network is not None:
                replace(network, image_size=full).at(pixels)
        except ValueError as error:
            raise ConfigError(f"{key}: {error}") from error
