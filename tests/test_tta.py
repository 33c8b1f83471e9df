"""Test-time augmentation equals what its source does, re-implemented plainly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lit.sections import PASSES
from resnet_lit.tta import averaged, translated

IMAGES = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 7)).eval()


def six_views(net: nn.Module, images: Tensor) -> Tensor:
    """cifar10-airbench, airbench94_muon.py, infer_mirror_translate: two means of mirror pairs, half each."""

    def pair(views: Tensor) -> Tensor:
        return (net(views) + net(views.flip(-1))) / 2

    padded, size = F.pad(images, (1, 1, 1, 1), "reflect"), images.shape[-1]
    corners = [pair(padded[..., start : start + size, start : start + size]) for start in (0, 2)]
    return pair(images) / 2 + (corners[0] + corners[1]) / 2 / 2


@torch.inference_mode()
def test_views_are_averaged_as_the_source_does() -> None:
    net = network()
    single = net(IMAGES)
    assert torch.allclose(averaged(net, IMAGES, single, "flip"), (single + net(IMAGES.flip(3))) / 2, rtol=0, atol=1e-4)
    assert torch.allclose(averaged(net, IMAGES, single, 6), six_views(net, IMAGES), rtol=0, atol=1e-4)
    assert not torch.allclose(averaged(net, IMAGES, single, 6), averaged(net, IMAGES, single, "flip"), rtol=0, atol=1e-2)


@pytest.mark.parametrize("pixels", [-2, -1, 0, 1, 2])
def test_translation_shows_the_image_mirrored_at_its_border(pixels: int) -> None:
    padded = F.pad(IMAGES, (2, 2, 2, 2), "reflect")
    start = 2 - pixels
    assert torch.equal(translated(IMAGES, pixels), padded[..., start : start + 16, start : start + 16])
    assert torch.equal(translated(IMAGES.byte(), pixels), translated(IMAGES.byte().float(), pixels).byte())


def test_the_number_of_passes_is_what_the_network_is_asked_for() -> None:
    for tta, passes in PASSES.items():
        asked: list[Tensor] = []
        net = network()

        def counted(images: Tensor, net: nn.Module = net, asked: list[Tensor] = asked) -> Tensor:
            asked.append(images)
            return net(images)

        single = counted(IMAGES)
        if tta != "none":
            averaged(counted, IMAGES, single, tta)  # type: ignore[arg-type]
        assert len(asked) == passes


def test_what_a_cuda_graph_overwrites_is_not_read_again() -> None:
    """A compiled network may give the same memory each time."""
    net, memory = network(), torch.empty(5, 7)

    def reusing(images: Tensor) -> Tensor:
        return memory.copy_(net(images))

    with torch.inference_mode():
        single = reusing(IMAGES).clone()
        assert torch.equal(averaged(reusing, IMAGES, single, 6), averaged(net, IMAGES, single, 6))
