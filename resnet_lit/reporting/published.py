"""Published accuracies on CIFAR-10 beside the arithmetic that they took: what a picture of accuracy at a budget compares with.

All are test accuracies of networks of at most 5,000,000 parameters, trained from scratch on the 50,000 training images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Published:
    """One number and how it came about."""

    name: str
    accuracy: float  # in [0, 1]; the mean where there were several runs
    petaflops: float  # 6 x multiply-adds of one image x images trained on / 1e15, from what the source says of network and epochs
    runs: int | None  # None: the source does not say
    chosen: Literal["last epoch", "best test epoch"]
    source: str
    views: int = 1  # of a test image, over which an answer is the mean; 1: the image alone
    is_residual: bool = True


PUBLISHED = (
    Published("airbench94_muon", 0.9401, 0.29, 200, "last epoch", "github.com/KellerJordan/cifar10-airbench", 6, False),
    Published("airbench95", 0.9501, 1.39, 200, "last epoch", "github.com/KellerJordan/cifar10-airbench", 6, False),
    Published("ResNet-20 x 4, CutMix", 0.9630, 11.7, 11, "best test epoch", "github.com/davdcharizard/autoresearch-cifar10", 2),
    Published("the paper", 0.9514, 19.7, 1, "best test epoch", "Residual Network Design, figure 4"),
    Published(
        "ResNet-20 x 4, TrivialAugment", 0.9657, 27, None, "best test epoch", "github.com/davdcharizard/autoresearch-cifar10"
    ),
    Published(
        "[4,5,3] x 64, AutoAugment", 0.9696, 52, 1, "last epoch", "github.com/anshsarkar/ECE-GY-7123-Deep-Learning-Project-1"
    ),
    Published("ResNet-preact-20 x 4, RICAP", 0.9689, 78, 1, "last epoch", "github.com/hysts/pytorch_image_classification"),
    Published("SE-ResNet [4,4,3] x 64, CutMix", 0.9737, 216, 1, "last epoch", "github.com/yifeihsu/DL25_Course_Project"),
)
