"""Batches gathered and augmented as whole tensors, from images that are all at hand: no workers, no padded copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnet_lit.data.augment import Augmentation, ImageAugmentation, resize
from resnet_lit.data.draws import generator
from resnet_lit.data.errors import DataError

AT_ONCE = 1024  # images of neighbouring batches that are loaded in one go: small tensor operations cost more than their work


class BatchLoader:
    """Iterates over (images (B, C, H, W), targets (B,) int64) of one epoch; images are uint8, resized ones float32 in [0, 255].

    What step s of epoch e sees is a pure function of (seed, e, s): the order of an epoch and the parameters of a step
    are drawn on the CPU for the whole global batch, and each process takes its share of both. `batch_size` is the
    global batch. A global batch of n images is cut into `world_size` neighbouring shares, as equal as possible: where n
    is no multiple, as the last batch may be, the first n % world_size processes have one image more. Shares are
    disjoint and cover all images.

    `state_dict` after k batches, loaded into a loader made alike, makes its next iteration begin at batch k;
    `set_epoch` with another epoch forgets that. Batches that Lightning fetches are never fetched ahead, so its
    checkpoints hold the exact place.
    """

    batch_sampler = None  # Lightning looks for one where there is a sampler

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        *,
        indices: Tensor | np.ndarray | Sequence[int] | None = None,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        augment: Augmentation | None = None,
        resolution: Callable[[int], int] | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str | None = None,
    ) -> None:
        """images: (N, C, H, W) uint8, targets: (N,) int64, both on one device or memory-mapped. indices: (n,), which of
        them belong here, in the order of an epoch without shuffle (None: all). resolution: the side in pixels to which an
        epoch's images are resized, after the augmentation (None: never). device: where batches go (None: where images are).
        """
        if len(images) != len(targets) or not 0 <= rank < world_size:
            raise ValueError(f"{len(images)} images, {len(targets)} targets, rank {rank} of {world_size} do not fit")
        if batch_size < 1:
            raise DataError(f"data.batch_size={batch_size}: must be at least 1 (try data.batch_size=128)")
        self.images, self.targets = images, targets
        chosen = np.arange(len(images)) if indices is None else np.asarray(indices)
        self.indices = torch.as_tensor(chosen, dtype=torch.int64).cpu()
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.augment, self.resolution, self.drop_last = augment, resolution, drop_last
        self.rank, self.world_size = rank, world_size
        self.device = torch.device(device) if device is not None else images.device
        self._epoch, self._batches, self._resuming = 0, 0, False

        full, rest = divmod(len(self.indices), batch_size)
        smallest = batch_size if drop_last or not rest else rest
        if shuffle and full + bool(rest) and smallest < world_size:
            raise DataError(
                f"data.batch_size={batch_size}: the last batch of {len(self.indices):,} images has {smallest}, too few "
                f"for {world_size} processes (try data.drop_last=true, or a batch size of at least {world_size})"
            )
        # in an evaluation, a process without a share of the last batch leaves it out
        self._steps = full if drop_last else full + (rest > rank)
        if batch_size <= rank:
            self._steps = 0

    @property
    def sampler(self) -> BatchLoader:
        """Itself: Lightning calls `loader.sampler.set_epoch(epoch)` before an epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """What the next iteration goes through."""
        if epoch != self._epoch:
            self._epoch, self._batches, self._resuming = epoch, 0, False

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration is: {epoch, batches yielded}; after the last batch, at the start of the next epoch."""
        if self._batches and self._batches >= len(self):
            return {"epoch": self._epoch + 1, "batches": 0}
        return {"epoch": self._epoch, "batches": self._batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next iteration begin where `state` was taken; the one after it begins at 0."""
        self._epoch, self._batches, self._resuming = int(state["epoch"]), int(state["batches"]), True

    def __len__(self) -> int:
        """Batches in an epoch, for this process."""
        return self._steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # A generator: nothing here runs before the first batch is asked for, and by then Lightning has set the epoch.
        epoch, first = self._epoch, self._batches if self._resuming else 0
        self._batches, self._resuming = first, False
        order = self.indices
        if self.shuffle:
            order = order[torch.randperm(len(order), generator=generator(self.seed, "order", epoch))]
        together = max(1, AT_ONCE // self.batch_size)
        for begin in range(first, len(self), together):
            steps = range(begin, min(begin + together, len(self)))
            for step, batch in zip(steps, self._load(order, epoch, steps), strict=True):
                self._batches = step + 1
                yield batch

    def _load(self, order: Tensor, epoch: int, steps: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's shares of some neighbouring global batches: drawn one by one, gathered and augmented in one go."""
        batches = [order[step * self.batch_size : (step + 1) * self.batch_size] for step in steps]
        shares = [self._share(len(batch)) for batch in batches]
        mine = torch.cat([batch[share] for batch, share in zip(batches, shares, strict=True)])
        there = mine.to(self.images.device, non_blocking=True)
        images = self.images.index_select(0, there).to(self.device, non_blocking=True)
        targets = self.targets.index_select(0, there).to(self.device, non_blocking=True)
        if self.augment is not None:
            height, width = images.shape[-2:]
            drawn = [
                self.augment.draw(len(batch), height, width, generator(self.seed, "augment", epoch, step))
                for step, batch in zip(steps, batches, strict=True)
            ]
            parts = {name: [one[name][share] for one, share in zip(drawn, shares, strict=True)] for name in drawn[0]}
            parameters = {name: torch.cat(part) for name, part in parts.items()}
            if isinstance(self.augment, ImageAugmentation):
                parameters |= self.augment.draw_for(mine, epoch, self.seed)
            images = self.augment(images, parameters)
        if self.resolution is not None:
            images = resize(images, self.resolution(epoch))
        sizes = [share.stop - share.start for share in shares]
        return zip(images.split(sizes), targets.split(sizes), strict=True)

    def _share(self, count: int) -> slice:
        """Which images of a global batch of `count` belong to this process."""
        share, more = divmod(count, self.world_size)
        start = self.rank * share + min(self.rank, more)
        return slice(start, start + share + (self.rank < more))
