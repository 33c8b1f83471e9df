"""Splits and limits: stratified, nested, the same everywhere."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from resnet_lit.data.errors import DataError
from resnet_lit.data.split import limit, nested_order, split

CIFAR = np.repeat(np.arange(10), 5000)
UNEVEN = np.repeat([0, 1, 2, 3], [700, 250, 49, 1])


def test_the_split_is_stratified_and_whole() -> None:
    train, validation = split(CIFAR, 5000, 0)
    assert np.bincount(CIFAR[validation]).tolist() == [500] * 10
    assert np.bincount(CIFAR[train]).tolist() == [4500] * 10
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(50_000))
    assert train.dtype == validation.dtype == np.int64


@pytest.mark.parametrize("validation", [1, 7, 100, 333, 999])
def test_every_class_has_its_share_to_within_one_image(validation: int) -> None:
    _, chosen = split(UNEVEN, validation, 3)
    assert len(chosen) == validation
    share = np.bincount(UNEVEN) * validation / len(UNEVEN)
    assert (np.abs(np.bincount(UNEVEN[chosen], minlength=4) - share) <= 1).all()


def test_the_split_is_the_same_on_every_machine() -> None:
    """Fixed once: another value here means that results of earlier runs cannot be compared any more."""
    train, validation = split(CIFAR, 5000, 0)
    assert validation[:5].tolist() == FIRST
    assert hashlib.sha256(np.concatenate([train, validation]).astype("<i8").tobytes()).hexdigest()[:16] == DIGEST


FIRST = [47848, 34552, 24994, 10614, 41453]
DIGEST = "7cfb20b2c17fd035"


def test_the_seed_decides_and_the_order_of_classes_does_not_matter() -> None:
    assert np.array_equal(split(CIFAR, 5000, 1)[1], split(CIFAR, 5000, 1)[1])
    assert len(np.intersect1d(split(CIFAR, 5000, 0)[1], split(CIFAR, 5000, 1)[1])) < 1000
    assert np.bincount(CIFAR[::-1][split(CIFAR[::-1], 5000, 0)[1]]).tolist() == [500] * 10
    split(CIFAR, 5000, 2**80)  # any seed


def test_no_validation_is_an_empty_part() -> None:
    train, validation = split(CIFAR, 0, 0)
    assert len(validation) == 0
    assert validation.dtype == np.int64
    assert np.array_equal(np.sort(train), np.arange(50_000))


def test_splits_and_limits_are_nested() -> None:
    parts = [set(split(CIFAR, n, 0)[1].tolist()) for n in (10, 100, 1000)]
    assert parts[0] < parts[1] < parts[2]
    train, _ = split(CIFAR, 5000, 0)
    kept = [set(limit(train, CIFAR, n, 0).tolist()) for n in (100, 200, 45_000)]
    assert kept[0] < kept[1] < kept[2] == set(train.tolist())


def test_a_limit_is_stratified_and_stays_within_its_part() -> None:
    train, _ = split(CIFAR, 5000, 0)
    kept = limit(train, CIFAR, 1000, 0)
    assert np.bincount(CIFAR[kept]).tolist() == [100] * 10
    assert set(kept.tolist()) <= set(train.tolist())
    assert np.bincount(CIFAR[kept[:128]]).min() >= 12  # so is a first batch that is not shuffled
    assert limit(train, CIFAR, None, 0) is train


def test_nested_order_is_a_permutation() -> None:
    order = nested_order(UNEVEN, 0)
    assert np.array_equal(np.sort(order), np.arange(1000))
    assert len(nested_order(np.array([], np.int64), 0)) == 0


def test_what_is_impossible_names_key_and_remedy() -> None:
    for validation in (50_000, 60_000, -1):
        with pytest.raises(DataError, match=rf"^data.validation={validation}: .*\(try data.validation=5000\)$"):
            split(CIFAR, validation, 0)
    indices = np.arange(1000)
    with pytest.raises(DataError, match=r"^data.limit_train=1001: must be from 1 to 1,000"):
        limit(indices, CIFAR, 1001, 0)
    with pytest.raises(DataError, match=r"^data.limit_test=0: .*data.limit_test=null"):
        limit(indices, CIFAR, 0, 0, key="data.limit_test")
