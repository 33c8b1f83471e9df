"""Networks of a user's own: tried on a few images before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from resnet_lit.models.resnet import ResNet
from resnet_lit.network import build_network, check_smaller_images, check_smallest_batch, count_parameters
from resnet_lit.sections import Data, Model
from resnet_lit.typed import ConfigError

OWN = """
import torch
from torch import nn

class Lazy(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(num_classes))

class Normed(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(3600, num_classes))

class TwoHeads(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3072, num_classes)
    def forward(self, images):
        logits = self.head(images.flatten(1))
        return (logits, logits) if self.training else logits

class Few(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3072, 3)
    def forward(self, images):
        return self.head(images.flatten(1))

class NoForward(nn.Module):
    def __init__(self, num_classes):
        super().__init__()

class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3072, 10)
    def forward(self, images):
        return self.head(images.flatten(1))

def no_module(num_classes):
    return "a network"

class Large(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Conv2d(3, 2, 48), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, num_classes))

class Pooled(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, num_classes))

class Frozen(Normed):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.requires_grad_(False)

class Detached(Normed):
    def forward(self, images):
        return super().forward(images).detach()

class Broken(nn.Module):
    def __init__(self, num_classes):
        raise KeyError("weights")
"""


@pytest.fixture(scope="module", autouse=True)
def own(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("own")
    (folder / "own_networks.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


def test_lazy_layers_get_their_shapes_from_the_seed() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_network(Model(target="own_networks.Lazy"), 10).state_dict())
    assert states[0]["4.weight"].shape == (10, 3600)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_network_of_a_fixed_number_of_outputs_needs_no_num_classes() -> None:
    assert count_parameters(build_network(Model(target="own_networks.Fixed"), 10)) == 30_730
    for classes in (12, 2):  # ten outputs for two classes would be an oversight
        with pytest.raises(ConfigError, match=rf"gives \(2, 10\) .*must give logits \(2, {classes}\); it takes no num_classes"):
            build_network(Model(target="own_networks.Fixed"), classes)
    assert build_network(Model(target="own_networks.Fixed", num_classes=10), 2)


def test_the_trial_leaves_weights_statistics_and_random_numbers() -> None:
    torch.manual_seed(3)
    network = build_network(Model(target="own_networks.Normed"), 10)
    after = torch.rand(1)
    torch.manual_seed(3)
    import own_networks  # type: ignore[import-not-found]

    untried = own_networks.Normed(10)
    assert torch.equal(after, torch.rand(1))
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), untried.state_dict().values(), strict=True))
    assert network.training


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("TwoHeads", "gives a tuple of 2 in train mode, must give logits"),
        ("Few", r"gives \(2, 3\) in eval mode for images \(2, 3, 32, 32\), must give logits \(2, 10\)"),
        ("NoForward", "NotImplementedError: Module .NoForward. is missing the required .forward. function"),
        ("Large", r"fails in eval mode .*; it takes 64x64 pixels, which data.image_size=64 gives with data=folder"),
        ("Frozen", r"depend on no trainable parameter \(it has no parameter with requires_grad\)"),
        ("Detached", r"depend on no trainable parameter \(they carry no gradient\)"),
        ("no_module", "gives a str, must give a torch.nn.Module"),
        ("Broken", "raises KeyError: 'weights'"),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused_in_one_line(name: str, line: str) -> None:
    with pytest.raises(ConfigError, match=f"^model._target_=own_networks.{name}: .*{line}") as refused:
        build_network(Model(target=f"own_networks.{name}"), 10)
    assert "\n" not in str(refused.value)


def test_a_last_batch_of_one_image_is_refused_where_batchnorm_has_one_pixel() -> None:
    one_pixel = ResNet([1, 1, 1], [4, 4, 4], strides=[2, 2, 2], image_size=8)
    with pytest.raises(ConfigError, match=r"data.batch_size=16: the last batch of an epoch has one image.*data.drop_last=true"):
        check_smallest_batch(one_pixel, 1, 16, (3, 8, 8))
    with pytest.raises(ConfigError, match=r"one image for a process.*data.batch_size=4"):
        check_smallest_batch(one_pixel, 2, 2, (3, 8, 8), processes=2)
    check_smallest_batch(one_pixel, 2, 16, (3, 8, 8))
    check_smallest_batch(ResNet([1, 1], [4, 4], image_size=8), 1, 16, (3, 8, 8))  # 16 pixels are left
    check_smallest_batch(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), 1, 16, (3, 8, 8))


def test_an_own_network_must_take_every_size_of_the_schedule() -> None:
    data, fixed = Data(resolution=(24, 32)), Model(target="own_networks.Fixed")
    with pytest.raises(
        ConfigError, match=r"^data.resolution=\[24,32\]: model._target_=own_networks.Fixed: fails in eval mode on "
    ):
        check_smaller_images(build_network(fixed, 10), fixed, data, 10)
    check_smaller_images(build_network(fixed, 10), fixed, Data(), 10)
    pooled = Model(target="own_networks.Pooled")
    check_smaller_images(build_network(pooled, 10), pooled, data, 10)
