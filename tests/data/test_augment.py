"""Augmentation of whole batches equals torchvision's, image by image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from resnet_lit.data.augment import Augment, Augmentation, blur, crop, flip, normalize, rotate
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
    drawn = Augment(4, 0.25, 15.0, 0.75, 3, (0.5, 1.5)).draw(100_000, 32, 32, torch.Generator().manual_seed(0))
    assert drawn["offsets"].unique().tolist() == list(range(9))
    assert torch.bincount(drawn["offsets"].flatten()).float().div(200_000).sub(1 / 9).abs().max() < 0.005
    assert abs(drawn["flip"].float().mean() - 0.25) < 0.01
    assert abs(drawn["blur"].float().mean() - 0.75) < 0.01
    assert -15 <= drawn["degrees"].min() < -14.9
    assert 14.9 < drawn["degrees"].max() <= 15
    assert 0.5 <= drawn["sigmas"].min() < 0.51
    assert 1.49 < drawn["sigmas"].max() <= 1.5


def test_the_order_is_crop_flip_rotation_blur() -> None:
    batch, augment = images((32, 3, 32, 32)), Augment(4, 0.5, 15.0, 0.5)
    drawn = augment.draw(32, 32, 32, torch.Generator().manual_seed(0))
    wanted = flip(crop(batch, drawn["offsets"], 4), drawn["flip"])
    wanted = blur(rotate(wanted, drawn["degrees"]), 3, drawn["sigmas"], drawn["blur"])
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
