"""What a network's answers to labelled images say of it: accuracy, confusion, calibration. NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

BINS = 15  # of the reliability diagram, as in Guo et al. 2017


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence lies in [low, high): how many, how sure they were on average, how many were right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Answers:
    """Logits (N, classes) float for targets (N,) int, and the names of the classes."""

    logits: np.ndarray
    targets: np.ndarray
    classes: tuple[str, ...]

    @property
    def probabilities(self) -> np.ndarray:
        """(N, classes) float64: softmax of the logits."""
        shifted = self.logits.astype(np.float64) - self.logits.max(1, keepdims=True)
        powers = np.exp(shifted)
        return np.asarray(powers / powers.sum(1, keepdims=True))

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        shifted = self.logits.astype(np.float64) - self.logits.max(1, keepdims=True)
        of_targets = shifted[np.arange(len(self.targets)), self.targets]
        return float((np.log(np.exp(shifted).sum(1)) - of_targets).mean())

    @property
    def right(self) -> np.ndarray:
        """(N,) bool: whether the most probable class is the target."""
        return np.asarray(self.logits.argmax(1) == self.targets)

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy in [0, 1]."""
        return float(self.right.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95% Wilson interval of the accuracy, for other images of the same kind; seeds are another matter."""
        found = binomtest(int(self.right.sum()), len(self.right)).proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)

    @property
    def confusion(self) -> np.ndarray:
        """(classes, classes) int64: images of the class of the row that were taken for the class of the column."""
        count = len(self.classes)
        return np.bincount(self.targets * count + self.logits.argmax(1), minlength=count * count).reshape(count, count)

    @property
    def reliability(self) -> list[Bin]:
        """Bins of equal width in confidence, the empty ones left out (Guo et al. 2017, section 2)."""
        confidence = self.probabilities.max(1)
        place = np.minimum((confidence * BINS).astype(int), BINS - 1)
        return [
            Bin(b / BINS, (b + 1) / BINS, int(mine.sum()), float(confidence[mine].mean()), float(self.right[mine].mean()))
            for b in range(BINS)
            if (mine := place == b).any()
        ]

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al. 2017, equation 3): mean distance of confidence and accuracy over the bins."""
        return sum(b.count * abs(b.accuracy - b.confidence) for b in self.reliability) / len(self.targets)

    def per_class(self) -> list[tuple[str, int, float, str, float]]:
        """For each class with images: name, images, accuracy, the class it is most often taken for ("": none), and how often."""
        rows = []
        for index, row in enumerate(self.confusion):
            if not (images := int(row.sum())):
                continue
            others = np.where(np.arange(len(row)) == index, 0, row)
            worst = int(others.argmax())
            rows.append((self.classes[index], images, row[index] / images, self.classes[worst], others[worst] / images))
        return [(name, n, float(share), other if often else "", float(often)) for name, n, share, other, often in rows]
