"""The LightningDataModule: the images of one data set, split by the protocol, as whole-batch tensor loaders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from resnet_lit import resolution, work
from resnet_lit.data import sources
from resnet_lit.data.augment import Augment, ImageAugmentation
from resnet_lit.data.errors import DataError, Progress
from resnet_lit.data.loader import BatchLoader, generator
from resnet_lit.data.paths import request
from resnet_lit.data.split import limit, split
from resnet_lit.length import run_length
from resnet_lit.plugins import locate
from resnet_lit.schema import Config
from resnet_lit.sections import AUGMENT, CIFAR10_VALIDATION, Data
from resnet_lit.sections import Augment as AugmentConfig
from resnet_lit.typed import ConfigError

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)
PAPER_STD = (0.2023, 0.1994, 0.2010)  # widely copied; it is the mean over images of each image's own std


def build_augment(augment: AugmentConfig, size: int = 32, mean: Sequence[float] = CIFAR10_MEAN) -> Any:
    """The augmentation of a config: ours, or a class of the user's own with the same two methods.

    It is tried on two images of size x size pixels. mean: per channel, of pixels in [0, 1]. Raises ConfigError, one line, or
    DataError where ours does not fit the images.
    """
    if augment.target != AUGMENT:
        return _own_augment(augment, size)
    built = Augment(
        crop_padding=augment.crop_padding,
        flip=augment.flip,
        rotation=augment.rotation,
        blur=augment.blur,
        blur_kernel=augment.blur_kernel,
        blur_sigma=(augment.blur_sigma[0], augment.blur_sigma[1]),
        padding_mode=augment.padding_mode,
        flip_mode=augment.flip_mode,
        cutout=augment.cutout,
        fill=[255 * value for value in mean],
    )
    built(torch.zeros(2, 3, size, size, dtype=torch.uint8), built.draw(2, size, size, torch.Generator().manual_seed(0)))
    return built


def _own_augment(augment: AugmentConfig, size: int) -> Any:
    key = f"augment._target_={augment.target}"
    kind = locate(augment.target, "augment._target_")
    try:
        built = kind(**augment.args)
    except Exception as error:  # whatever the user's class raises
        raise ConfigError(f"{key}: does not take augment.args={augment.args}: {_in_a_line(error)}") from error
    for method, arguments in (("draw", "count, height, width, generator"), ("__call__", "images, parameters")):
        if not callable(getattr(built, method, None)):
            raise ConfigError(f"{key}: has no {method}({arguments}), which every augmentation needs")
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    try:
        parameters = built.draw(2, size, size, torch.Generator().manual_seed(0))
        if isinstance(built, ImageAugmentation):
            parameters |= built.draw_for(torch.arange(2), 0, 0)
        changed = built(images, parameters)
    except Exception as error:
        raise ConfigError(f"{key}: fails on two images of {size}x{size} pixels: {_in_a_line(error)}") from error
    if not isinstance(changed, Tensor) or changed.shape[:2] != images.shape[:2]:
        found = tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
        raise ConfigError(f"{key}: gives {found} for images {tuple(images.shape)}, must give as many images of as many channels")
    return built


def _in_a_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


class ImageData(LightningDataModule):
    """Training, validation and test images of one config.

    protocol=holdout: `val_dataloader` yields the validation part that the data bring along, else held-out training images;
    `test_dataloader` the test set, read once, at the end.
    protocol=final: all training images train, and `val_dataloader` yields nothing.
    protocol=paper: all training images train, and `val_dataloader` yields the test set, after every epoch.

    Batches are (images (N, C, H, W) uint8, targets (N,) int64). Raises DataError, and ConfigError for sizes that do not fit.
    """

    def __init__(self, config: Config, progress: Progress | None = None, *, for_training: bool = True) -> None:
        """for_training=False: the data are evaluated alone, so one class suffices."""
        super().__init__()
        self.config = config
        data = config.data
        self.source = sources.load(**request(data), for_training=for_training, progress=progress)
        train_labels, test_labels = self.source.train_labels, self.source.test_labels
        train, validation = self._split()
        self.train_indices = limit(train, train_labels, data.limit_train, data.split_seed, key="data.limit_train")
        wanted = data.limit_validation
        if wanted is None and data.limit_train is not None:
            wanted = min(data.limit_train, len(validation)) or None
        validation_labels = self.arrays(self.validates_on)[1]
        self.validation_indices = limit(validation, validation_labels, wanted, data.split_seed, key="data.limit_validation")
        every = np.arange(len(test_labels))
        self.test_indices = limit(every, test_labels, data.limit_test, data.split_seed, key="data.limit_test")
        size = self.source.train_images.shape[-1]
        resolution.check(config.data, size, None)
        self.augment = build_augment(config.augment, size, self.normalization[0])
        self.device = torch.device("cpu")
        self._on_device: dict[str, tuple[Tensor, Tensor]] = {}

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices (n,) int64 of the images that train, in train/, and of those that validate, in `validates_on`."""
        labels, given, wanted = self.source.train_labels, self.source.validation_labels, self.config.validation
        if given is None:
            if wanted is None:
                wanted = CIFAR10_VALIDATION if self.config.data.name == "cifar10" else len(labels) // 10
            return split(labels, wanted, self.config.data.split_seed)
        if wanted:
            raise DataError(
                f"data.validation={wanted}: the data have a validation part of {len(given):,} images, "
                f"{self.source.validation_folder}/; leave data.validation out to choose the epoch by it (data.limit_validation="
                f"{wanted} uses a part of it), or give data.validation=0 to choose by nothing"
            )
        everything, _ = split(labels, 0, self.config.data.split_seed)
        return everything, np.arange(len(given) if wanted is None else 0)

    @property
    def validates_on(self) -> str:
        """Which arrays `validation_indices` point into: the data's own validation part, or the training part."""
        return "train" if self.source.validation_labels is None else "validation"

    def arrays(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """All images (N, C, H, W) uint8 and labels (N,) int64 of a part of the source: `train`, `test` or `validation`."""
        return getattr(self.source, f"{part}_images"), getattr(self.source, f"{part}_labels")

    def notes(self) -> list[str]:
        """What a user should know of the way that the data are read: who validates, and what was left out."""
        found, folder = [], self.source.validation_folder
        if folder is not None and (n := len(self.validation_indices)):
            rest = (
                "all of train/ trains"
                if self.source.test_origin == "given"
                else "train/ trains, but for a test part held out of it"
            )
            found.append(f"data: {folder}/ chooses the epoch ({n:,} images); {rest}")
        elif folder is not None:
            why = {
                "holdout": "data.validation=0",
                "final": "protocol=final chooses nothing",
                "paper": "protocol=paper chooses on the test set",
            }[self.config.protocol]
            found.append(f"data: {folder}/ is not used: {why}")
        if self.config.data.test_fraction != Data.test_fraction and self.source.test_origin == "given":
            found.append(f"data: data.test_fraction={self.config.data.test_fraction:g} is not used: the data have a test part")
        spellings: dict[str, str] = {}
        for name in self.source.classes:
            if (other := spellings.setdefault(name.casefold(), name)) != name:
                found.append(f"data: the classes {other} and {name} differ in upper and lower case alone")
        if self.source.left_out:
            found.append(f"data: not read: {'; '.join(self.source.left_out)}")
        return found

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std per channel of pixels in [0, 1], as `data.normalization` names them."""
        return {
            "cifar10": (CIFAR10_MEAN, CIFAR10_STD),
            "paper": (CIFAR10_MEAN, PAPER_STD),
            "computed": (tuple(self.source.mean), tuple(self.source.std)),
            "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        }[self.config.data.normalization]

    @property
    def chooses_on(self) -> str | None:
        """The part of the data that chooses the epoch: `test` under protocol=paper, None where nothing is held out."""
        return "test" if self.config.protocol == "paper" else "val" if len(self.validation_indices) else None

    def provenance(self) -> dict[str, Any]:
        """What the record says of the data."""
        return {
            "variant": self.source.variant,
            "hash": self.source.hash,
            "classes": list(self.source.classes),
            "sizes": {
                "train": len(self.train_indices),
                "validation": len(self.validation_indices),
                "test": len(self.test_indices),
            },
            "test_origin": self.source.test_origin,
            "validation_origin": self._validation_origin(),
            "left_out": list(self.source.left_out),
            "normalization": self.config.data.normalization,
        }

    def _validation_origin(self) -> str | None:
        """Where the images are from that choose the epoch, None where nothing but the test set may choose."""
        if not len(self.validation_indices):
            return None
        return "given" if self.validates_on == "validation" else "held out"

    def setup(self, stage: str) -> None:
        if self.trainer is not None:
            self.device = self.trainer.strategy.root_device

    def _part(self, part: str) -> tuple[Tensor, Tensor]:
        """All images and targets of a part: on the accelerator where there is one, else memory-mapped."""
        if part not in self._on_device:
            images, labels = self.arrays(part)
            self._on_device[part] = torch.from_numpy(images).to(self.device), torch.from_numpy(labels).to(self.device)
        return self._on_device[part]

    def sample(self, stream: str, count: int) -> Tensor:
        """`count` of the training images, or all where there are fewer: (N, C, H, W) uint8, drawn from the seed in `stream`."""
        order = torch.randperm(len(self.train_indices), generator=generator(self.config.seed, stream, 0))[:count]
        chosen = np.sort(np.asarray(self.train_indices)[order.numpy()])  # memory-mapped: read in order
        return torch.from_numpy(self.arrays("train")[0][chosen])

    def _loader(self, part: str, indices: Any, **options: Any) -> BatchLoader:
        images, targets = self._part(part)
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)
        return BatchLoader(
            images,
            targets,
            indices=indices,
            batch_size=self.config.data.batch_size,
            seed=self.config.seed,
            rank=rank,
            world_size=world_size,
            **options,
        )

    def transfer_batch_to_device(
        self, batch: tuple[Tensor, Tensor], device: torch.device, dataloader_idx: int
    ) -> tuple[Tensor, Tensor]:
        """Our loader has brought the batch there already; Lightning's own way looks through any kind of nested collection."""
        images, targets = batch
        return images.to(device, non_blocking=True), targets.to(device, non_blocking=True)

    def train_dataloader(self) -> BatchLoader:
        overfit = self.config.trainer.overfit_batches > 0  # the same few batches in every epoch
        return self._loader(
            "train",
            self.train_indices,
            shuffle=not overfit,
            augment=self.augment,
            resolution=self.pixels_in if self.config.data.resolution is not None else None,
            drop_last=self.config.data.drop_last,
        )

    def pixels_in(self, epoch: int) -> int:
        """The side in pixels of the training images in an epoch, counted from 0."""
        epochs = run_length(self.config, len(self.train_indices)).epochs
        return work.pixels_in(self.config, epoch, epochs, self.source.train_images.shape[-1])

    def val_dataloader(self) -> BatchLoader | list[Any]:
        if self.config.protocol == "paper":
            return self.test_dataloader()
        return self._loader(self.validates_on, self.validation_indices) if len(self.validation_indices) else []

    def test_dataloader(self) -> BatchLoader:
        return self._loader("test", self.test_indices)
