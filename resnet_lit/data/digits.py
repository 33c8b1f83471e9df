"""The handwritten digits that ship inside scikit-learn, as images: real data with nothing to download.

1,797 images of 8x8 pixels in 17 greys (Alpaydin and Kaynak 1998, UCI "Optical Recognition of Handwritten Digits").
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from resnet_lit.data.errors import DataError
from resnet_lit.data.tree import held_out

SIZE = 32
TEST_FRACTION = 0.2
CLASSES = tuple("0123456789")


def read_digits() -> dict[str, np.ndarray]:
    """{"train_images": (1438, 3, 32, 32) uint8, "train_labels": (1438,) int64, "test_images", "test_labels"}."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "data=digits: scikit-learn, which holds the digits, is missing: pip install 'resnet_lit[digits]'"
        ) from error
    found = load_digits()
    small = np.round(found.images * (255 / 16)).astype(np.uint8)
    scaled = (Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR) for image in small)
    large = np.stack([np.asarray(image) for image in scaled])
    images, labels = np.repeat(large[:, None], 3, axis=1), found.target.astype(np.int64)
    train, test = held_out(labels, TEST_FRACTION)
    return {
        "train_images": images[train],
        "train_labels": labels[train],
        "test_images": images[test],
        "test_labels": labels[test],
    }
