"""The loader: what a step sees depends on (seed, epoch, step) alone, and an epoch can be left and entered anywhere."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from resnet_lit.data.augment import Augment, alternate_flip, resize
from resnet_lit.data.errors import DataError
from resnet_lit.data.loader import BatchLoader

IMAGES = torch.randint(256, (103, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(103)  # a target names its image
Batches = list[tuple[Tensor, Tensor]]


def make(**options: Any) -> BatchLoader:
    return BatchLoader(IMAGES, TARGETS, **{"batch_size": 16, "shuffle": True, "augment": Augment(2, 0.5, 15.0, 0.5), **options})


def epoch(number: int, **options: Any) -> Batches:
    loader = make(**options)
    loader.set_epoch(number)
    return list(loader)


def equal(first: Batches, second: Batches) -> bool:
    pairs = zip(first, second, strict=True)
    return len(first) == len(second) and all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in pairs)


def joined(shares: list[Batches]) -> Batches:
    """What all processes saw together."""
    return [tuple(torch.cat(part) for part in zip(*step, strict=True)) for step in zip(*shares, strict=True)]  # type: ignore[misc]


def test_an_epoch_sees_every_image_once() -> None:
    batches = epoch(0)
    assert [len(targets) for _, targets in batches] == [16] * 6 + [7]
    assert torch.cat([targets for _, targets in batches]).sort().values.tolist() == list(range(103))
    images, targets = batches[0]
    assert images.shape == (16, 3, 8, 8)
    assert images.dtype == torch.uint8
    assert targets.dtype == torch.int64
    assert len(make()) == 7
    assert [len(targets) for _, targets in epoch(0, drop_last=True)] == [16] * 6
    assert len(make(drop_last=True)) == 6


def test_without_shuffle_the_order_is_that_of_the_indices() -> None:
    for indices in (None, [5, 3, 99, 4], np.array([5, 3, 99, 4]), torch.tensor([5, 3, 99, 4])):
        batches = list(make(shuffle=False, augment=None, batch_size=3, indices=indices))
        targets = torch.cat([targets for _, targets in batches])
        assert targets.tolist() == (list(range(103)) if indices is None else [5, 3, 99, 4])
        assert torch.equal(torch.cat([images for images, _ in batches]), IMAGES[targets])


def test_epochs_and_seeds_differ_and_repeat() -> None:
    assert equal(epoch(3), epoch(3))
    assert not equal(epoch(3), epoch(4))
    assert not equal(epoch(3), epoch(3, seed=1))
    fixed = {"shuffle": False}  # the augmentation alone
    assert equal(epoch(3, **fixed), epoch(3, **fixed))
    assert not equal(epoch(3, **fixed), epoch(4, **fixed))
    assert not equal(epoch(3, **fixed), epoch(3, seed=1, **fixed))


def test_global_random_state_is_neither_used_nor_changed() -> None:
    torch.manual_seed(1)
    first = epoch(0)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert equal(first, epoch(0))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_several_processes_see_together_what_one_sees(world_size: int) -> None:
    shares = [epoch(2, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert equal(joined(shares), epoch(2))
    for step in zip(*shares, strict=True):
        sizes = [len(targets) for _, targets in step]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_an_evaluation_on_several_processes_covers_every_image_once(world_size: int) -> None:
    seen = []
    for rank in range(world_size):
        loader = make(shuffle=False, augment=None, batch_size=51, rank=rank, world_size=world_size)  # a last batch of 1
        batches = list(loader)
        assert len(batches) == len(loader)
        assert all(len(targets) for _, targets in batches)
        seen += [int(target) for _, targets in batches for target in targets]
    assert sorted(seen) == list(range(103))


def test_a_last_batch_too_small_to_share_is_refused_in_training() -> None:
    with pytest.raises(DataError, match=r"^data.batch_size=51: the last batch of 103 images has 1, too few for 2 processes"):
        make(batch_size=51, world_size=2)
    make(batch_size=51, world_size=2, drop_last=True)
    with pytest.raises(DataError, match=r"^data.batch_size=1: "):
        make(batch_size=1, world_size=2)
    with pytest.raises(DataError, match=r"^data.batch_size=0: "):
        make(batch_size=0)


# --- leaving and entering


@pytest.mark.parametrize("done", [0, 1, 4, 6])
def test_a_fresh_loader_goes_on_where_another_was_left(done: int) -> None:
    whole = epoch(5)
    loader = make()
    loader.set_epoch(5)
    list(itertools.islice(loader, done))
    state = loader.state_dict()
    assert state == {"epoch": 5, "batches": done}
    fresh = make()
    fresh.load_state_dict(state)
    assert equal(list(fresh), whole[done:])
    assert equal(list(fresh), whole)  # once: the next iteration is a whole one


def test_the_state_after_a_whole_epoch_is_the_start_of_the_next() -> None:
    loader = make()
    loader.set_epoch(5)
    iterator = iter(loader)
    for _ in range(len(loader)):
        next(iterator)
    assert loader.state_dict() == {"epoch": 6, "batches": 0}  # whether or not the iterator was asked once more
    assert list(iterator) == []
    assert loader.state_dict() == {"epoch": 6, "batches": 0}
    fresh = make()
    fresh.load_state_dict(loader.state_dict())
    assert equal(list(fresh), epoch(6))


def test_another_epoch_forgets_the_place_and_the_same_keeps_it() -> None:
    whole = epoch(5)
    loader = make()
    loader.load_state_dict({"epoch": 5, "batches": 3})
    loader.set_epoch(5)
    assert loader.state_dict() == {"epoch": 5, "batches": 3}
    assert equal(list(loader), whole[3:])
    loader.load_state_dict({"epoch": 5, "batches": 3})
    loader.set_epoch(6)
    assert equal(list(loader), epoch(6))


def test_the_epoch_is_read_when_the_first_batch_is_asked_for() -> None:
    """Lightning makes the iterator first, and sets the epoch then."""
    loader = make()
    iterator = iter(loader)
    loader.sampler.set_epoch(7)
    assert equal(list(iterator), epoch(7))


def test_a_step_can_be_replayed_alone() -> None:
    loader = make()
    loader.load_state_dict({"epoch": 9, "batches": 4})
    assert equal([next(iter(loader))], [epoch(9)[4]])


# --- images, devices, augmentations of one's own


def test_memory_mapped_images_are_read_without_a_warning(tmp_path) -> None:
    np.save(tmp_path / "images.npy", IMAGES.numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = torch.from_numpy(np.load(tmp_path / "images.npy", mmap_mode="c"))
        loader = BatchLoader(images, TARGETS, batch_size=16, shuffle=True, augment=Augment(2, 0.5, 15.0, 0.5))
        assert equal(list(loader), epoch(0))


class Invert:
    """An augmentation of a user's own."""

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> dict[str, Tensor]:
        assert (height, width) == (8, 8)
        return {"invert": torch.rand(n, generator=generator) < 0.5}

    def __call__(self, images: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        return torch.where(parameters["invert"][:, None, None, None], 255 - images, images)


class OfImages(Invert):
    """One that changes every third image in every other epoch."""

    def draw_for(self, indices: Tensor, epoch: int, seed: int) -> dict[str, Tensor]:
        return {"invert": (indices % 3 == 0) & (epoch % 2 == seed)}


@pytest.mark.parametrize("augment", [OfImages(), Augment(2, 0.5, flip_mode="alternate", padding_mode="reflect", cutout=3)])
def test_an_augmentation_that_asks_which_images_is_shared_by_rank_too(augment) -> None:
    whole = epoch(0, augment=augment)
    for world_size in (2, 3):
        assert equal(joined([epoch(0, augment=augment, rank=rank, world_size=world_size) for rank in range(world_size)]), whole)


def test_alternating_flips_belong_to_the_image_whatever_the_order() -> None:
    seen = []
    for number in range(3):
        batches = epoch(number, augment=Augment(flip=0.5, flip_mode="alternate"))
        images, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
        flipped = torch.empty(103, dtype=torch.bool)
        flipped[targets] = (images != IMAGES[targets]).flatten(1).any(1)
        pairs = zip(images, targets, strict=True)
        assert all(torch.equal(image, IMAGES[t].flip(2) if flipped[t] else IMAGES[t]) for image, t in pairs)
        seen.append(flipped)
    assert torch.equal(seen[0], alternate_flip(torch.arange(103), 0, seed=0))
    assert torch.equal(seen[1], ~seen[0])
    assert torch.equal(seen[2], seen[0])


def test_images_are_resized_as_the_epoch_says() -> None:
    sizes = {0: 4, 1: 6, 2: 8}
    for number, size in sizes.items():
        batches, full = epoch(number, resolution=sizes.__getitem__), epoch(number)
        for (images, targets), (whole, same) in zip(batches, full, strict=True):
            assert torch.equal(targets, same)
            assert torch.equal(images, resize(whole, size))  # what was drawn is what is drawn without
    shares = [epoch(1, resolution=sizes.__getitem__, rank=rank, world_size=2) for rank in range(2)]
    assert equal(joined(shares), epoch(1, resolution=sizes.__getitem__))


def test_an_augmentation_of_ones_own_is_shared_by_rank_too() -> None:
    whole = epoch(0, augment=Invert())
    assert not equal(whole, epoch(0, augment=None))
    assert equal(joined([epoch(0, augment=Invert(), rank=rank, world_size=2) for rank in range(2)]), whole)


class Inverted(Augment):
    """Ours, changed in `__call__` alone."""

    def __call__(self, images: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        return 255 - super().__call__(images, parameters)


def test_a_subclass_of_ours_is_called() -> None:
    inverted = [(255 - images, targets) for images, targets in epoch(0, augment=Augment(2, 0.5))]
    assert equal(epoch(0, augment=Inverted(2, 0.5)), inverted)


def test_batches_go_to_the_device_asked_for() -> None:
    images, targets = next(iter(make(device="meta", augment=None)))
    assert images.device.type == targets.device.type == "meta"
    assert images.shape == (16, 3, 8, 8)


def test_what_does_not_fit_together_is_an_error() -> None:
    with pytest.raises(ValueError, match="103 images, 102 targets"):
        BatchLoader(IMAGES, TARGETS[:-1], batch_size=4)
    with pytest.raises(ValueError, match="rank 2 of 2"):
        make(rank=2, world_size=2)


# --- in Lightning


@pytest.mark.parametrize("stop", [3, 7, 10])
def test_lightning_goes_on_in_the_middle_of_an_epoch(tmp_path, stop: int) -> None:
    """Three epochs of 7 steps; a checkpoint after `stop` steps, restored into new objects, sees the rest of the same batches."""
    lightning = pytest.importorskip("lightning.pytorch")

    class Sees(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.seen: Batches = []

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            self.seen.append((batch[0].clone(), batch[1].clone()))
            return self.weight.sum()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    class Save(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == stop and not trainer.is_last_batch:
                trainer.save_checkpoint(tmp_path / "last.ckpt")

        def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == stop:
                trainer.save_checkpoint(tmp_path / "last.ckpt")

    def fit(**options: Any) -> Sees:
        module = Sees()
        trainer = lightning.Trainer(
            max_epochs=3,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Save()],
            default_root_dir=tmp_path,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(module, make(), **options)
        return module

    whole = fit().seen
    assert equal(whole, [*epoch(0), *epoch(1), *epoch(2)])
    rest = fit(ckpt_path=tmp_path / "last.ckpt", weights_only=True).seen
    assert equal(rest, whole[stop:])
