"""The loader against the paper's way: batches of crop + flip from memory, against PIL transforms in two DataLoader workers.

python benchmarks/bench_loader.py

Both sides see the same number of random 32x32 images, batch 128, alternating five times; the ratio of the medians is what
counts. Ours yields uint8 batches (normalisation is part of the network), theirs normalised float batches, as each is used.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from resnet_lit.data.augment import Augment
from resnet_lit.data.loader import BatchLoader

IMAGES, BATCH, ROUNDS = 10_000, 128, 5


class PilImages(Dataset):
    """The paper's script: one PIL image at a time."""

    def __init__(self, images: np.ndarray, targets: np.ndarray) -> None:
        self.images, self.targets = images, targets
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.targets[index])


def rate(loader: object) -> float:
    """Images a second over one epoch."""
    started, seen = time.perf_counter(), 0
    for images, _ in loader:  # type: ignore[attr-defined]
        seen += len(images)
    return seen / (time.perf_counter() - started)


def main() -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    targets = random.integers(0, 10, IMAGES)
    theirs = DataLoader(PilImages(pixels, targets), BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    ours = BatchLoader(
        images, torch.from_numpy(targets), batch_size=BATCH, shuffle=True, augment=Augment(crop_padding=4, flip=0.5)
    )
    for loader in (theirs, ours):  # workers started, memory touched
        rate(loader)
    rates: dict[str, list[float]] = {"PIL, 2 workers": [], "resnet_lit": []}
    for _ in range(ROUNDS):
        rates["PIL, 2 workers"].append(rate(theirs))
        rates["resnet_lit"].append(rate(ours))
    for name, found in rates.items():
        print(f"{name:16} {statistics.median(found):>10,.0f} images/s  ({min(found):,.0f} to {max(found):,.0f})")
    print(f"ratio of medians {statistics.median(rates['resnet_lit']) / statistics.median(rates['PIL, 2 workers']):>10.1f}")


if __name__ == "__main__":
    main()
