"""Random changes of whole batches of images, on whatever device they are.

Every function works on uint8 images (N, C, H, W), each with its own parameters, and gives what the function of
torchvision.transforms.v2.functional of the same meaning gives image by image. Parameters are CPU tensors: which images
to change is known without asking the device.

An augmentation of your own is any class with the two methods of `Augmentation`; name it in YAML by its import path. One that
also has the method of `ImageAugmentation` learns which images it changes, and in which epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from resnet_lit.data.draws import coins
from resnet_lit.data.errors import DataError


class Augmentation(Protocol):
    """What the loader asks of an augmentation."""

    def draw(self, n: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Random parameters for n images: CPU tensors with first dimension n, from `generator` and nothing else.

        They are drawn for a whole global batch and sliced by rank, so the same images get the same parameters on any
        number of processes.
        """
        ...

    def __call__(self, images: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        """images (N, C, H, W) uint8 -> the same shape and type; `parameters` as drawn, first dimension N.

        N images may be those of several batches: what becomes of one must depend on itself and its own parameters alone.
        """
        ...


@runtime_checkable
class ImageAugmentation(Augmentation, Protocol):
    """An augmentation some of whose parameters depend on which image it is, and on the epoch."""

    def draw_for(self, indices: Tensor, epoch: int, seed: int) -> dict[str, Tensor]:
        """Further parameters, beside those of `draw`: CPU tensors with first dimension n.

        indices: (n,) int64 on the CPU, positions of the images in the whole training part. epoch: counted from 0. seed: the
        run's. What an image gets must be a function of its own index, the epoch and the seed alone: each process asks for the
        images of its share, of one batch or of several.
        """
        ...


PaddingMode = Literal["zeros", "reflect"]
FlipMode = Literal["random", "alternate"]


class Augment:
    """Random crop, horizontal flip, rotation, Gaussian blur, cutout, in this order; what is 0 is left out.

    crop_padding: pixels around the image before a random window is cut (He et al. 2015, section 4.2). padding_mode: what they
    are: black, or the image mirrored at its border, which is not repeated (cifar10-airbench, airbench94_muon.py, CifarLoader).
    flip, blur: probabilities. flip_mode: whether each epoch draws flips anew, or `alternate_flip` decides.
    rotation: the largest angle in degrees, either way. blur_sigma: least and greatest. cutout: side of the square in pixels;
    fill: what the square is filled with, a value in [0, 255] for each channel.
    """

    def __init__(
        self,
        crop_padding: int = 0,
        flip: float = 0.0,
        rotation: float = 0.0,
        blur: float = 0.0,
        blur_kernel: int = 3,
        blur_sigma: tuple[float, float] = (0.1, 2.0),
        padding_mode: PaddingMode = "zeros",
        flip_mode: FlipMode = "random",
        cutout: int = 0,
        fill: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> None:
        self.crop_padding, self.flip, self.rotation = crop_padding, flip, rotation
        self._crop = Crop(crop_padding, padding_mode)
        self.flip_mode = flip_mode
        self.blur, self.blur_kernel, self.blur_sigma = blur, blur_kernel, blur_sigma
        self.cutout, self.fill = cutout, tuple(fill)

    def draw(self, n: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Those in use of the parameters of `__call__`:

        offsets (n, 2) int64, flip (n,) bool, degrees (n,) float32, blur (n,) bool, sigmas (n,) float32, centres (n, 2) int64.
        """
        drawn: dict[str, Tensor] = {}
        if self.crop_padding:
            drawn["offsets"] = torch.randint(2 * self.crop_padding + 1, (n, 2), generator=generator)
        if self.flip and self.flip_mode == "random":
            drawn["flip"] = torch.rand(n, generator=generator) < self.flip
        if self.rotation:
            drawn["degrees"] = (torch.rand(n, generator=generator) * 2 - 1) * self.rotation
        if self.blur:
            if self.blur_kernel // 2 >= min(height, width):
                raise DataError(
                    f"augment.blur_kernel={self.blur_kernel}: too large for images of {height}x{width} pixels "
                    "(try augment.blur_kernel=3)"
                )
            least, greatest = self.blur_sigma
            drawn["blur"] = torch.rand(n, generator=generator) < self.blur
            drawn["sigmas"] = least + torch.rand(n, generator=generator) * (greatest - least)
        if self.cutout:
            sides = torch.tensor([height, width])
            drawn["centres"] = (torch.rand(n, 2, generator=generator, dtype=torch.float64) * sides).long()
        return drawn

    def draw_for(self, indices: Tensor, epoch: int, seed: int) -> dict[str, Tensor]:
        """flip (n,) bool, where `flip_mode` is alternate."""
        if self.flip and self.flip_mode == "alternate":
            return {"flip": alternate_flip(indices, epoch, seed)}
        return {}

    def __call__(self, images: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        """images (N, C, H, W) uint8 -> (N, C, H, W) uint8."""
        if "offsets" in parameters:
            images = self._crop(images, parameters["offsets"])
        if "flip" in parameters:
            images = flip(images, parameters["flip"], in_place="offsets" in parameters)
        if "degrees" in parameters:
            images = rotate(images, parameters["degrees"])
        if "blur" in parameters:
            images = blur(images, self.blur_kernel, parameters["sigmas"], parameters["blur"])
        if "centres" in parameters:
            images = cutout(images, parameters["centres"], self.cutout, self.fill)
        return images


class Crop:
    """Random crop after padding, with zeros (He et al. 2015, section 4.2) or with the image mirrored at its border.

    Memory for the padded images is kept from one batch to the next.
    """

    def __init__(self, padding: int, mode: PaddingMode = "zeros") -> None:
        self.padding, self.mode = padding, mode
        self._padded = torch.empty(0, 0, 0, 0)

    def __call__(self, images: Tensor, offsets: Tensor) -> Tensor:
        """images: (N, C, H, W); offsets: (N, 2) int64 on the CPU, top-left corner (y, x) in the padded image, 0 … 2 * padding."""
        n, _, _, width = images.shape
        if n == 0:
            return images
        padded = self._with_margins(images)
        # A window is C * H pieces of W pixels that lie in a row; picking pieces by where they begin is several times faster
        # than picking pixels.
        corners = (offsets[:, 0] * padded.shape[3] + offsets[:, 1]).to(images.device, non_blocking=True)
        begins = (self._pieces[:n] + corners[:, None]).flatten()
        return padded.view(-1).unfold(0, width, 1).index_select(0, begins).view(images.shape)

    def _with_margins(self, images: Tensor) -> Tensor:
        """(at least N, C, H + 2 * padding, W + 2 * padding): the images, with their margins."""
        n, channels, height, width = images.shape
        p, like = self.padding, self._padded
        if self.mode == "reflect" and p >= min(height, width):
            raise DataError(
                f"augment.crop_padding={p}: images of {height}x{width} pixels have too few to mirror "
                f"(augment.padding_mode=reflect; try augment.crop_padding={min(height, width) - 1})"
            )
        shape = (channels, height + 2 * p, width + 2 * p)
        if len(like) < n or like.shape[1:] != shape or (like.dtype, like.device) != (images.dtype, images.device):
            self._padded = like = images.new_zeros(n, *shape)
            # where the pieces of each image begin, (N, C * H), with the window in the top left corner
            planes = torch.arange(n * channels, device=images.device) * (shape[1] * shape[2])
            self._pieces = (planes[:, None] + torch.arange(height, device=images.device) * shape[2]).view(n, -1)
        padded = like[:n]
        padded[:, :, p : p + height, p : p + width] = images
        if self.mode == "reflect":
            rows = padded[:, :, p : p + height]
            rows[..., :p] = images[..., 1 : p + 1].flip(3)
            rows[..., p + width :] = images[..., width - 1 - p : width - 1].flip(3)
            padded[:, :, :p] = rows[:, :, 1 : p + 1].flip(2)
            padded[:, :, p + height :] = rows[:, :, height - 1 - p : height - 1].flip(2)
        return like


def crop(images: Tensor, offsets: Tensor, padding: int, mode: PaddingMode = "zeros") -> Tensor:
    """Pad by `padding` pixels all around and cut out a window of the original size, as `Crop`."""
    return Crop(padding, mode)(images, offsets)


def alternate_flip(indices: Tensor, epoch: int, seed: int) -> Tensor:
    """Whether each image is mirrored: by a fair coin of its own in epoch 0, then the other way in every further epoch.

    indices: (n,) int64 on the CPU, from 0 on; epoch: counted from 0. Returns (n,) bool: whether coin + epoch is odd. In any two
    neighbouring epochs the network sees both sides of every image. Alternating flip: Jordan 2024, arXiv 2404.00498.
    """
    return coins(seed, "flip", indices) ^ bool(epoch % 2)


def flip(images: Tensor, mask: Tensor, *, in_place: bool = False) -> Tensor:
    """Mirror the images where `mask` (N,) bool, on the CPU, is true, left to right."""
    chosen = mask.nonzero().flatten()
    images = images if in_place else images.clone()
    if len(chosen):
        chosen = chosen.to(images.device, non_blocking=True)
        _wide(images).index_copy_(0, chosen, _wide(images.index_select(0, chosen).flip(3)))
    return images


def _wide(images: Tensor) -> Tensor:
    """(N, numbers): each image as few large numbers on the CPU, where writing goes number by number: 16 bytes each."""
    flat = images.view(len(images), -1)
    fits = images.device.type == "cpu" and flat.shape[1] * flat.element_size() % 16 == 0
    return flat.view(torch.complex128) if fits else flat


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotate about the middle, counter-clockwise by `degrees` (N,), on the CPU; nearest pixel, zeros from outside."""
    n, channels, height, width = images.shape
    if n == 0:
        return images
    angles = torch.deg2rad(-(degrees.double() % 360))
    cos, sin = (f(angles).float().view(n, 1, 1).to(images.device, non_blocking=True) for f in (torch.cos, torch.sin))
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x = torch.arange(width, device=images.device) - middle_x
    y = (torch.arange(height, device=images.device) - middle_y)[:, None]
    # where each pixel of the result comes from, (N, H, W): what lies outside comes from a border of zeros
    column = ((x * cos + middle_x) + y * sin).round_().clamp_(-1, width)
    row = ((y * cos + middle_y) - x * sin).round_().clamp_(-1, height)
    bordered = F.pad(images, (1, 1, 1, 1)).view(n, channels, -1)
    pixel = row.add_(1).mul_(width + 2).add_(column).add_(1).long().view(n, 1, -1)
    return bordered.gather(2, pixel.expand(-1, channels, -1)).view(images.shape)


def blur(images: Tensor, kernel_size: int, sigmas: Tensor, mask: Tensor | None = None) -> Tensor:
    """Gaussian blur with a kernel of kernel_size x kernel_size pixels (odd) and reflected borders.

    sigmas: (N,), the standard deviation for each image; mask: (N,) bool, which images to blur (None: all).
    """
    chosen = torch.arange(len(images)) if mask is None else mask.nonzero().flatten()
    n, (height, width) = len(chosen), images.shape[2:]
    if n == 0:
        return images
    half = kernel_size // 2
    steps = torch.arange(-half, half + 1, dtype=torch.float32)
    weights = torch.softmax(-((steps / sigmas[chosen, None]) ** 2) / 2, dim=1)  # (n, kernel)
    taps = weights.to(images.device, non_blocking=True).T[:, :, None, None, None]  # (kernel, n, 1, 1, 1)
    picked = images.index_select(0, chosen.to(images.device, non_blocking=True)).float()
    padded = F.pad(picked, (half, half, half, half), mode="reflect")
    # A Gaussian is one column times one row. Sums instead of a convolution: cuDNN's would round to TF32.
    columns = torch.zeros_like(padded[:, :, :height])
    for i, tap in enumerate(taps):
        columns.addcmul_(padded[:, :, i : i + height], tap)
    blurred = torch.zeros_like(picked)
    for i, tap in enumerate(taps):
        blurred.addcmul_(columns[..., i : i + width], tap)
    return _replaced(images, chosen, blurred.round_().to(images.dtype))


def cutout(images: Tensor, centres: Tensor, size: int, fill: Sequence[float]) -> Tensor:
    """Fill a square of `size` pixels a side in each image; what lies beyond the border is cut off.

    images: (N, C, H, W); centres: (N, 2) int64 on the CPU, (y, x) of a pixel of the image; of an even size it is the first one
    after the middle. fill: a value for each channel. DeVries and Taylor 2017, arXiv 1708.04552: there the images are normalised
    and the square is zero, which is the mean of the data.
    """
    _, channels, height, width = images.shape
    first = (centres - size // 2).to(images.device, non_blocking=True)
    y = torch.arange(height, device=images.device) - first[:, :1]  # (N, H): rows from the square's first one
    x = torch.arange(width, device=images.device) - first[:, 1:]
    inside = ((y >= 0) & (y < size))[:, :, None] & ((x >= 0) & (x < size))[:, None, :]
    value = torch.tensor(fill).round().to(images.device, images.dtype, non_blocking=True).view(1, channels, 1, 1)
    return torch.where(inside[:, None], value, images)


def resize(images: Tensor, size: int) -> Tensor:
    """(N, C, H, W) -> (N, C, size, size) float32, bilinear with antialiasing; images of this size are returned as they are.

    The values are not rounded to whole pixel values: that would add noise, take longer, and differ between CPU and GPU.
    """
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images.float(), (size, size), mode="bilinear", antialias=True)


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(N, C, H, W) uint8 -> float32: pixels to [0, 1], less `mean`, over `std`, by channel."""
    scale = torch.tensor([1 / (255 * s) for s in std], device=images.device).view(-1, 1, 1)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=images.device).view(-1, 1, 1)
    return images.float().mul_(scale).sub_(shift)


def _replaced(images: Tensor, chosen: Tensor, others: Tensor) -> Tensor:
    """A copy of `images` with `others` at the indices `chosen`."""
    source = torch.arange(len(images))
    source[chosen] = len(images) + torch.arange(len(chosen))
    # copies whole images; writing into chosen rows goes byte by byte on the CPU
    return torch.cat([images, others]).index_select(0, source.to(images.device, non_blocking=True))
