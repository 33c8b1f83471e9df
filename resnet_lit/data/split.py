"""Who trains and who validates: stratified, nested, and the same on every machine and with every version of numpy.

Order comes from the raw output of Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), whose
stream numpy guarantees, and a stable sort; numpy's own `permutation` may change between versions.
"""

from __future__ import annotations

import numpy as np

from resnet_lit.data.errors import DataError

_SPLIT, _LIMIT = 0, 1  # random streams: which images validate says nothing about which a limit keeps


def nested_order(labels: np.ndarray, seed: int, stream: int = _SPLIT) -> np.ndarray:
    """A random order whose first n are stratified for every n: each class has its share to within one image.

    labels: (N,) integers. Returns (N,) int64, a permutation of 0 … N-1.
    """
    labels = np.asarray(labels)
    raw = np.random.Philox(key=(stream << 64) | (seed % 2**64)).random_raw(len(labels))
    order = np.lexsort((raw, labels))  # by class, at random within it; lexsort is stable
    _, start, count = np.unique(labels[order], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(start, count)
    position = (rank + 0.5) / np.repeat(count, count)  # in (0, 1): how far into its class an image stands
    return order[np.lexsort((raw[order], position))].astype(np.int64)


def split(labels: np.ndarray, validation: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and the validation images, (n,) int64 each; `validation` of labels (N,) validate.

    Both are in a stratified order: any run of neighbours is a fair mixture of classes, shuffled or not. A smaller
    validation part is contained in a larger one. Raises DataError where nothing would be left to train on.
    """
    total = len(labels)
    if not 0 <= validation < total:
        raise DataError(
            f"data.validation={validation}: must be at least 0 and leave images to train on, there are {total:,} "
            f"(try data.validation={total // 10})"
        )
    order = nested_order(labels, seed, _SPLIT)
    return order[validation:], order[:validation]


def limit(
    indices: np.ndarray,
    labels: np.ndarray,
    n: int | None,
    seed: int,
    key: str = "data.limit_train",
) -> np.ndarray:
    """The first `n` of `indices` (m,) in a fixed stratified order: a smaller limit is contained in a larger one.

    labels: (N,), of all images. n=None: `indices` as they are. key: named in the DataError where there are fewer.
    """
    if n is None:
        return indices
    if not 1 <= n <= len(indices):
        raise DataError(f"{key}={n}: must be from 1 to {len(indices):,}, the images there are (or {key}=null for all)")
    return np.asarray(indices)[nested_order(np.asarray(labels)[indices], seed, _LIMIT)[:n]]
