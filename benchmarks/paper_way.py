"""The paper's way, as its readers would write it: PIL images, two DataLoader workers, NCHW, eager, `loss.item()` at every step.

A plain script, without anything of resnet_lit but the network itself, which is the same on both sides.

python -m benchmarks.paper_way train | evaluate | load | load-float
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.sides import cifar10, serve
from resnet_lit.models.resnet import ResNet

BATCH = 128
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
TRAIN = transforms.Compose(
    [
        transforms.RandomCrop(32, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
)
TEST = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


class Cifar10(Dataset):
    """As torchvision's: an array of (N, 32, 32, 3), an image at a time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: transforms.Compose) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def endless(loader: DataLoader) -> itertools.chain:
    return itertools.chain.from_iterable(itertools.repeat(loader))


def main(what: str, count: int) -> None:
    """One side of a benchmark; count: batches in a round."""
    images, labels = cifar10()
    images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    training = what != "evaluate"
    dataset = Cifar10(images, labels, TRAIN if training else TEST)
    batches = endless(DataLoader(dataset, BATCH, shuffle=training, num_workers=2, persistent_workers=True))
    network = ResNet([2, 1, 1, 1], [64, 128, 256, 512], pool=4)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    def train() -> int:
        network.train()
        total, correct = 0.0, 0
        for inputs, targets in itertools.islice(batches, count):
            optimizer.zero_grad()
            outputs = network(inputs)
            loss = criterion(outputs, targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
            correct += outputs.max(1)[1].eq(targets).sum().item()
        return count * BATCH

    @torch.no_grad()
    def evaluate() -> int:
        network.eval()
        total, correct = 0.0, 0
        for inputs, targets in itertools.islice(batches, count):
            outputs = network(inputs)
            total += criterion(outputs, targets).item()
            correct += outputs.max(1)[1].eq(targets).sum().item()
        return count * BATCH

    def load() -> int:
        return sum(len(targets) for _, targets in itertools.islice(batches, count))

    serve({"train": train, "evaluate": evaluate, "load": load}[what])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
