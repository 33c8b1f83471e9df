"""Augmentation of whole batches equals torchvision's, image by image."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from resnet_lit.data.augment import (
    Augment,
    Augmentation,
    Crop,
    alternate_flip,
    blur,
    crop,
    cutout,
    flip,
    normalize,
    resize,
    rotate,
)
from resnet_lit.data.draws import coins
from resnet_lit.data.errors import DataError

SHAPES = [(24, 3, 32, 32), (16, 1, 28, 28), (8, 3, 24, 40), (8, 4, 7, 9)]


def images(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", [1, 4])
def test_crop_is_torchvisions(shape, padding) -> None:
    batch = images(shape)
    offsets = torch.randint(2 * padding + 1, (len(batch), 2))
    offsets[0], offsets[1] = 0, 2 * padding
    for image, (y, x), cropped in zip(batch, offsets.tolist(), crop(batch, offsets, padding), strict=True):
        assert torch.equal(cropped, tv.crop(tv.pad(image, [padding] * 4), y, x, *shape[2:]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", [1, 4])
def test_crop_from_reflection_is_torchvisions(shape, padding) -> None:
    kept = Crop(padding, "reflect")
    for seed, count in ((0, shape[0]), (1, shape[0] // 2)):  # the second batch meets the memory of the first
        batch = images((count, *shape[1:]), seed)
        offsets = torch.randint(2 * padding + 1, (count, 2))
        offsets[0], offsets[1] = 0, 2 * padding
        for image, (y, x), cropped in zip(batch, offsets.tolist(), kept(batch, offsets), strict=True):
            assert torch.equal(cropped, tv.crop(tv.pad(image, [padding] * 4, padding_mode="reflect"), y, x, *shape[2:]))


def test_more_reflection_than_image_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"^augment.crop_padding=7: images of 7x9 pixels have too few to mirror .*crop_padding=6\)"
    ):
        crop(images((2, 3, 7, 9)), torch.zeros(2, 2, dtype=torch.int64), 7, "reflect")


def test_each_image_is_flipped_by_its_own_coin_and_then_alternates() -> None:
    everyone = torch.arange(50_000)
    first = alternate_flip(everyone, 0, seed=3)
    assert abs(first.float().mean() - 0.5) < 0.01
    for epoch in range(1, 5):
        assert torch.equal(alternate_flip(everyone, epoch, seed=3), first ^ (epoch % 2 == 1))
    some = torch.tensor([49_999, 7, 7, 123])  # whatever the batch: a coin belongs to its image
    assert torch.equal(alternate_flip(some, 0, seed=3), first[some])
    assert abs((alternate_flip(everyone, 0, seed=4) == first).float().mean() - 0.5) < 0.01
    neighbours = (first[1:] == first[:-1]).float().mean()
    assert abs(neighbours - 0.5) < 0.01


def test_coins_are_the_top_bits_of_splitmix64() -> None:
    """Against the generator's definition in plain integers; its first output from state 0 is the published one."""
    assert splitmix64(0, 0) == 0xE220A8397B1DCDAF
    state = int.from_bytes(hashlib.blake2b(b"5/flip", digest_size=8).digest(), "little")
    drawn = coins(5, "flip", torch.arange(200))
    assert drawn.tolist() == [bool(splitmix64(state, index) >> 63) for index in range(200)]


def splitmix64(state: int, number: int) -> int:
    """Output `number`, from 0 on, of the generator that starts at `state`."""
    z = (state + (number + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 4, 5, 7])
def test_cutout_fills_a_square_around_its_centre(shape, size) -> None:
    """As DeVries and Taylor's own code does: y1 = clip(y - size // 2, 0, h), y2 = clip(y + size // 2, 0, h), of an even size."""
    batch, (height, width) = images(shape), shape[2:]
    centres = torch.stack([torch.randint(side, (len(batch),)) for side in (height, width)], 1)
    centres[0], centres[1] = 0, torch.tensor([height - 1, width - 1])
    before, fill = batch.clone(), [125.3, 0.0, 113.9, 9.6][: shape[1]]
    results = cutout(batch, centres, size, fill)
    assert torch.equal(batch, before)
    for image, (y, x), result in zip(batch, centres.tolist(), results, strict=True):
        top, left = y - size // 2, x - size // 2
        image[:, max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = torch.tensor(fill).round()[:, None, None]
        assert torch.equal(result, image)


@pytest.mark.parametrize("size", [16, 24, 32])
def test_resized_images_are_torchvisions(size) -> None:
    batch = images((6, 3, 32, 32))
    wanted = tv.resize(batch.float(), [size, size], InterpolationMode.BILINEAR, antialias=True)
    assert torch.allclose(resize(batch, size).float(), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_flip_is_torchvisions(shape) -> None:
    batch, mask = images(shape), torch.arange(shape[0]) % 3 == 0
    before = batch.clone()
    for image, mirrored, result in zip(batch, mask.tolist(), flip(batch, mask), strict=True):
        assert torch.equal(result, tv.horizontal_flip(image) if mirrored else image)
    assert torch.equal(batch, before)
    assert torch.equal(flip(batch, torch.zeros(shape[0], dtype=torch.bool)), batch)
    assert torch.equal(flip(batch, torch.ones(shape[0], dtype=torch.bool)), batch.flip(3))


@pytest.mark.parametrize("shape", SHAPES)
def test_rotation_is_torchvisions(shape) -> None:
    batch = images(shape)
    degrees = torch.empty(len(batch)).uniform_(-180, 180, generator=torch.Generator().manual_seed(1))
    degrees[:5] = torch.tensor([0.0, 90.0, 180.0, -90.0, 45.0])
    results = rotate(batch, degrees)
    wanted = torch.stack([tv.rotate(i, d, InterpolationMode.NEAREST) for i, d in zip(batch, degrees.tolist(), strict=True)])
    assert results.dtype == torch.uint8
    assert (results == wanted).float().mean() >= 0.999
    assert torch.equal(results[0], batch[0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_blur_is_torchvisions(shape, kernel_size) -> None:
    batch, mask = images(shape), torch.arange(shape[0]) % 2 == 0
    sigmas = torch.linspace(0.1, 2.0, shape[0])
    results = blur(batch, kernel_size, sigmas, mask)
    for image, sigma, chosen, result in zip(batch, sigmas.tolist(), mask.tolist(), results, strict=True):
        if chosen:
            wanted = tv.gaussian_blur(image, [kernel_size, kernel_size], [sigma, sigma])
            assert (result.int() - wanted.int()).abs().max() <= 1
        else:
            assert torch.equal(result, image)
    assert torch.equal(blur(batch, kernel_size, sigmas)[mask], results[mask])
    assert torch.equal(blur(batch, kernel_size, sigmas, torch.zeros_like(mask)), batch)


def test_normalisation_is_torchvisions() -> None:
    batch, mean, std = images((8, 3, 16, 16)), [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
    wanted = tv.normalize(tv.to_dtype(batch, torch.float32, scale=True), mean, std)
    result = normalize(batch, mean, std)
    assert result.dtype == torch.float32
    assert torch.allclose(result, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, set()),
        ({"crop_padding": 4, "flip": 0.5}, {"offsets", "flip"}),
        ({"rotation": 15.0}, {"degrees"}),
        ({"blur": 0.5}, {"blur", "sigmas"}),
        ({"cutout": 8}, {"centres"}),
        ({"flip": 0.5, "flip_mode": "alternate"}, set()),
        ({"crop_padding": 2, "flip": 1.0, "rotation": 30.0, "blur": 1.0}, {"offsets", "flip", "degrees", "blur", "sigmas"}),
    ],
)
def test_parameters_are_drawn_for_what_is_in_use(options, names) -> None:
    augment: Augmentation = Augment(**options)
    drawn = augment.draw(10, 32, 32, torch.Generator().manual_seed(0))
    again = augment.draw(10, 32, 32, torch.Generator().manual_seed(0))
    assert set(drawn) == names
    assert all(len(values) == 10 and torch.equal(values, again[name]) for name, values in drawn.items())
    batch = images((10, 3, 32, 32))
    assert augment(batch, drawn).shape == batch.shape
    assert augment(batch, drawn).dtype == torch.uint8
    assert augment(batch[:0], {name: values[:0] for name, values in drawn.items()}).shape == (0, 3, 32, 32)


def test_parameters_have_their_distribution() -> None:
    drawn = Augment(4, 0.25, 15.0, 0.75, 3, (0.5, 1.5), cutout=8).draw(100_000, 32, 24, torch.Generator().manual_seed(0))
    assert drawn["offsets"].unique().tolist() == list(range(9))
    assert torch.bincount(drawn["offsets"].flatten()).float().div(200_000).sub(1 / 9).abs().max() < 0.005
    assert abs(drawn["flip"].float().mean() - 0.25) < 0.01
    assert abs(drawn["blur"].float().mean() - 0.75) < 0.01
    assert -15 <= drawn["degrees"].min() < -14.9
    assert 14.9 < drawn["degrees"].max() <= 15
    assert 0.5 <= drawn["sigmas"].min() < 0.51
    assert 1.49 < drawn["sigmas"].max() <= 1.5
    for centre, side in zip(drawn["centres"].T, (32, 24), strict=True):
        assert torch.bincount(centre, minlength=side).float().div(100_000).sub(1 / side).abs().max() < 0.005


def test_the_order_is_crop_flip_rotation_blur_cutout() -> None:
    batch, augment = images((32, 3, 32, 32)), Augment(4, 0.5, 15.0, 0.5, cutout=8, fill=(125.0, 123.0, 114.0))
    drawn = augment.draw(32, 32, 32, torch.Generator().manual_seed(0))
    wanted = flip(crop(batch, drawn["offsets"], 4), drawn["flip"])
    wanted = blur(rotate(wanted, drawn["degrees"]), 3, drawn["sigmas"], drawn["blur"])
    wanted = cutout(wanted, drawn["centres"], 8, (125.0, 123.0, 114.0))
    assert torch.equal(augment(batch, drawn), wanted)


def test_a_kernel_larger_than_the_image_names_its_key() -> None:
    with pytest.raises(DataError, match=r"^augment.blur_kernel=33: too large for images of 16x16 pixels"):
        Augment(blur=1.0, blur_kernel=33).draw(1, 16, 16, torch.Generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    batch, augment = images((256, 3, 32, 32)), Augment(4, 0.5)
    drawn = augment.draw(256, 32, 32, torch.Generator().manual_seed(0))
    assert torch.equal(augment(batch.cuda(), drawn).cpu(), augment(batch, drawn))
    augment = Augment(4, 0.5, 15.0, 0.5)
    drawn = augment.draw(256, 32, 32, torch.Generator().manual_seed(0))
    assert (augment(batch.cuda(), drawn).cpu() == augment(batch, drawn)).float().mean() > 0.999


def test_an_own_augmentation_is_tried_before_the_run(tmp_path, monkeypatch) -> None:
    from resnet_lit.datamodule import build_augment
    from resnet_lit.sections import Augment as Settings
    from resnet_lit.typed import ConfigError

    (tmp_path / "own_augment.py").write_text(
        "class NoDraw:\n    def __call__(self, images, parameters): return images\n"
        "class Fails(NoDraw):\n    def draw(self, n, height, width, generator): return {'n': 1 / 0}\n"
        "class Fits(NoDraw):\n    def draw(self, n, height, width, generator): return {}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"augment._target_=own_augment.NoDraw: has no draw\("):
        build_augment(Settings(target="own_augment.NoDraw"))
    with pytest.raises(ConfigError, match=r"own_augment.Fails: fails on two images of 16x16 pixels: ZeroDivisionError"):
        build_augment(Settings(target="own_augment.Fails"), 16)
    assert type(build_augment(Settings(target="own_augment.Fits"))).__name__ == "Fits"


def test_ours_is_tried_on_images_of_their_size_before_anything_trains() -> None:
    from resnet_lit.datamodule import build_augment
    from resnet_lit.sections import Augment as Settings

    with pytest.raises(DataError, match=r"^augment.crop_padding=8: images of 8x8 pixels .*try augment.crop_padding=7\)"):
        build_augment(Settings(crop_padding=8, padding_mode="reflect"), 8)
    with pytest.raises(DataError, match=r"^augment.blur_kernel=17: too large for images of 8x8 pixels"):
        build_augment(Settings(blur=0.1, blur_kernel=17), 8)
