"""The options that come from airbench94, against its network and its whitening written down here plainly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_lit.models import init
from resnet_lit.models.init import whiten
from resnet_lit.models.resnet import ResNet

OPTIONS = {
    "strides": [2, 2, 2],
    "stem": "2x2",
    "stem_channels": 24,
    "stem_norm": False,
    "transition": "pool",
    "pooling": "max",
    "activation": "gelu",
    "norm_momentum": 0.4,
    "norm_eps": 1e-12,
    "norm_scale": False,
    "init": "dirac",
    "head_bias": False,
    "head_std": 1.0,
    "logit_scale": 1 / 9,
}


class Group(nn.Module):
    """airbench94's ConvGroup; with skip, the second convolution is followed by a third, and a sum skips both (DavidNet)."""

    def __init__(self, inputs: int, outputs: int, skip: bool) -> None:
        super().__init__()
        widths = [inputs, outputs, outputs, outputs][: 4 if skip else 3]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding="same", bias=False) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs, eps=1e-12, momentum=0.4) for _ in self.convs)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norms[0](F.max_pool2d(self.convs[0](x), 2)))
        if not self.skip:
            return F.gelu(self.norms[1](self.convs[1](x)))
        out = F.gelu(self.norms[1](self.convs[1](x)))
        return F.gelu(x + self.norms[2](self.convs[2](out)))


class Airbench(nn.Module):
    """airbench94: whitened 2x2 patches with a bias, GELU, three groups, max-pool, a linear layer without bias, 1/9."""

    def __init__(self, widths: list[int], skip: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 2, padding=0, bias=True)
        self.groups = nn.Sequential(*[Group(a, b, skip) for a, b in itertools.pairwise([24, *widths])])
        self.head = nn.Linear(widths[-1], 10, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.max_pool2d(self.groups(F.gelu(self.stem(x))), 3).flatten(1)) / 9


def copy_weights(reference: Airbench, ours: ResNet) -> None:
    """Give the reference the weights of ours, module by module in the order that data meet them."""
    reference.stem.load_state_dict(ours.stem.conv.state_dict())
    reference.head.load_state_dict(ours.fc.state_dict())
    for group, layer in zip(reference.groups, ours.layers, strict=True):
        convs = [m for m in layer.modules() if isinstance(m, nn.Conv2d)]
        norms = [m for m in layer.modules() if isinstance(m, nn.BatchNorm2d)]
        for theirs, mine in zip([*group.convs, *group.norms], [*convs, *norms], strict=True):
            theirs.load_state_dict(mine.state_dict())


class WithoutBlock(nn.Module):
    """The second half of an airbench94 group from a residual block: its first convolution alone."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.conv, self.bn = block.conv1, block.bn1

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.bn(self.conv(x)))


@pytest.mark.parametrize("skip", [False, True], ids=["airbench94", "with residual blocks"])
def test_logits_statistics_and_gradients_are_the_references(skip: bool) -> None:
    torch.manual_seed(0)
    ours = ResNet([1, 1, 1], [8, 12, 16], **OPTIONS).double()
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.1)
    if not skip:
        for layer in ours.layers:
            layer[1] = WithoutBlock(layer[1])
    reference = Airbench([8, 12, 16], skip).double()
    copy_weights(reference, ours)
    images, targets = torch.randn(6, 3, 32, 32, dtype=torch.float64), torch.arange(6)
    for _ in range(2):
        logits, expected = ours(images), reference(images)
        torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-12)
        F.cross_entropy(logits, targets).backward()
        F.cross_entropy(expected, targets).backward()
    for name, gradient in (("stem", "weight"), ("stem", "bias")):
        torch.testing.assert_close(
            getattr(ours.stem.conv, gradient).grad, getattr(getattr(reference, name), gradient).grad, rtol=1e-8, atol=1e-12
        )
    torch.testing.assert_close(ours.fc.weight.grad, reference.head.weight.grad, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(ours.eval()(images), reference.eval()(images), rtol=1e-10, atol=1e-12)  # running statistics


def natural(count: int, size: int = 12) -> Tensor:
    """Images (count, 3, size, size) whose neighbouring pixels and channels go together, of mean 0."""
    noise = torch.randn(count, 3, size + 4, size + 4, generator=torch.Generator().manual_seed(1))
    smooth = F.avg_pool2d(noise, 5, stride=1)
    mixed = torch.einsum("cd,ndhw->nchw", torch.tensor([[1.0, 0.8, 0.6], [0.8, 1.0, 0.8], [0.6, 0.8, 1.0]]), smooth)
    return mixed - mixed.mean((0, 2, 3), keepdim=True)


def numpy_filters(images: np.ndarray, kernel: int, eps: float) -> np.ndarray:
    """airbench94's eigenvectors over sqrt(eigenvalue + eps), in numpy, one in each row; the leading one first."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (kernel, kernel), axis=(2, 3))  # (N, C, h, w, k, k)
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, images.shape[1] * kernel**2).astype(np.float64)
    values, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    return (vectors / np.sqrt(values + eps)).T[::-1]


@pytest.mark.parametrize(("kernel", "channels", "whitened"), [(2, 24, 24), (3, 64, 54), (2, 11, 10)])
def test_whitened_filters_are_numpys_and_the_rest_stay(kernel: int, channels: int, whitened: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, channels, kernel)
    before = conv.weight.detach().clone()
    images = natural(300)
    whiten(conv, images, eps=5e-4)
    filters = conv.weight.detach().flatten(1)
    assert torch.equal(filters[whitened:], before.flatten(1)[whitened:])
    half = whitened // 2
    assert torch.equal(filters[half:whitened], -filters[:half])
    expected = numpy_filters(images.numpy(), kernel, 5e-4)[:half]
    signs = np.sign((filters[:half].numpy() * expected).sum(1, keepdims=True))  # an eigenvector has no sign
    np.testing.assert_allclose(filters[:half].numpy(), signs * expected, rtol=1e-4, atol=1e-5)


def test_few_large_images_are_in_memory_at_a_time(monkeypatch) -> None:
    images, seen = natural(30), []

    def normalize(part: Tensor) -> Tensor:
        seen.append(len(part))
        return part.float()

    expected = init.patch_moments(images, 3)
    monkeypatch.setattr(init, "VALUES", 8 * 27 * (images.shape[2] - 2) * (images.shape[3] - 2))
    torch.testing.assert_close(init.patch_moments(images, 3, normalize), expected)
    assert seen == [8, 8, 8, 6]


@pytest.mark.parametrize("kernel", [2, 3])
def test_whitened_patches_have_the_identity_as_covariance(kernel: int) -> None:
    images = natural(300)
    conv = nn.Conv2d(3, 2 * 3 * kernel**2, kernel, bias=False)
    whiten(conv, images, eps=1e-9)
    outputs = conv(images).detach().transpose(0, 1).flatten(1)[: 3 * kernel**2]
    torch.testing.assert_close(outputs @ outputs.T / outputs.shape[1], torch.eye(3 * kernel**2), rtol=0, atol=2e-3)


def test_dirac_copies_the_inputs_and_leaves_the_rest() -> None:
    torch.manual_seed(0)
    model = ResNet([1, 1], [8, 16], init="dirac")
    first, second, skip = model.layers[0][0].conv1, model.layers[1][0].conv1, model.layers[1][0].skip.conv
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(first(x), x)
    assert torch.equal(second(x)[:, :8], x[:, :, ::2, ::2])
    assert torch.equal(skip(x)[:, :8], x[:, :, ::2, ::2])
    bound = (1 / (8 * 9)) ** 0.5  # torch's own: uniform within 1 / sqrt(fan in)
    rest = second.weight[8:].detach()
    assert bound * 0.9 < rest.abs().max() <= bound
    assert abs(float(model.stem.conv.weight.detach().std()) / (2 / (8 * 9)) ** 0.5 - 1) < 0.2  # the stem is kaiming


def test_the_heads_weights_have_the_given_standard_deviation() -> None:
    assert float(ResNet([1], [64], head_std=1.0).fc.weight.detach().std()) == pytest.approx(1, abs=1e-6)
    assert ResNet([1], [64], head_bias=False).fc.bias is None
