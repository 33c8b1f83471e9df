"""The network against torchvision's, and what is the paper's own about it."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
import torch
import torchvision
from torch import nn

from resnet_lit.models.resnet import ResNet

STOCK = [64, 128, 256, 512]


@pytest.fixture(autouse=True)
def _seeded():
    """One thread: the networks are small, and the sums then come in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def our_name(name: str) -> str:
    """torchvision's name of a tensor in our naming."""
    name = re.sub(r"^(conv|bn)1\.", r"stem.\1.", name)
    name = re.sub(r"^layer(\d)\.", lambda match: f"layers.{int(match[1]) - 1}.", name)
    return name.replace("downsample.0", "skip.conv").replace("downsample.1", "skip.bn")


def pair(name: str) -> tuple[ResNet, nn.Module]:
    """Our network and torchvision's in its CIFAR form, in float64, with the same random weights and statistics."""
    theirs = getattr(torchvision.models, name)(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):  # away from 1 and 0, where a mistake would not show
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    blocks, block = ([2, 2, 2, 2], "basic") if name == "resnet18" else ([3, 4, 6, 3], "bottleneck")
    with torch.device("meta"):
        ours = ResNet(blocks, STOCK, block=block)
    theirs = theirs.double()
    state = {our_name(key): value.clone() for key, value in theirs.state_dict().items()}
    ours.load_state_dict(state, strict=True, assign=True)
    return ours.requires_grad_(), theirs


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_forward_and_backward_equal_torchvision(name, training):
    ours, theirs = pair(name)
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    results = []
    for model in (ours, theirs):
        model.train(training)
        inputs = images.clone().requires_grad_()
        logits = model(inputs)
        nn.functional.cross_entropy(logits, torch.tensor([1, 2, 3, 4])).backward()
        results.append((logits, inputs.grad))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-7, atol=1e-10)

    parameters = dict(ours.named_parameters())
    assert len(parameters) == len(list(theirs.parameters()))
    for key, parameter in theirs.named_parameters():
        assert parameter.grad.abs().max() > 0, key
        torch.testing.assert_close(parameters[our_name(key)].grad, parameter.grad, rtol=1e-7, atol=1e-10, msg=key)
    buffers = dict(ours.named_buffers())
    assert len(buffers) == len(list(theirs.buffers()))
    for key, buffer in theirs.named_buffers():  # running mean and variance, and their step count
        torch.testing.assert_close(buffers[our_name(key)], buffer, rtol=1e-9, atol=1e-10, msg=key)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("stem", ["3x3", "7x7"])
def test_one_dropout_directly_after_each_batchnorm(block, stem):
    model = ResNet([2, 2], [4, 8], block=block, stem=stem, dropout=0.25)
    calls = []
    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, *_, name=name: calls.append((name, module)))
    model(torch.randn(2, 3, 32, 32))
    norms = [i for i, (_, module) in enumerate(calls) if isinstance(module, nn.BatchNorm2d)]
    dropouts = [i for i, (_, module) in enumerate(calls) if isinstance(module, nn.Dropout2d)]
    assert dropouts == [i + 1 for i in norms]
    assert {calls[i][1].p for i in dropouts} == {0.25}
    assert len(norms) == len([m for m in model.modules() if isinstance(m, nn.BatchNorm2d)])
    names = {calls[i][0] for i in dropouts}
    assert {"stem.dropout", "layers.0.0.dropout1", "layers.1.0.dropout2", "layers.1.0.skip.dropout"} <= names


def test_no_dropout_module_and_the_same_state_where_p_is_zero():
    without, with_dropout = ResNet([1, 1], [4, 8]), ResNet([1, 1], [4, 8], dropout=0.25)
    assert not [module for module in without.modules() if isinstance(module, nn.Dropout2d)]
    with_dropout.load_state_dict(without.state_dict(), strict=True)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(with_dropout.eval()(images), without.eval()(images))


def test_dropout_drops_whole_channels_in_training_only():
    model = ResNet([1, 1], [32, 32], dropout=0.25)
    seen = []
    model.stem.dropout.register_forward_hook(lambda _m, _i, output: seen.append(output.detach().clone()))
    images = torch.randn(64, 3, 32, 32)
    model(images)
    empty = (seen[0] == 0).flatten(2)
    assert torch.equal(empty.all(2), empty.any(2))
    assert 0.2 < empty.all(2).float().mean() < 0.3
    model.eval()
    assert torch.equal(model(images), model(images))


def without_inplace(model: nn.Module) -> nn.Module:
    """A copy whose blocks and modules write to new memory: the reference for the gradients of those in place."""
    reference = copy.deepcopy(model)
    for module in reference.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    return reference


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "gelu", "squeeze_excitation": 2, "transition": "pool", "pooling": "max"},
        {"activation": "silu", "block": "basic", "stem": "2x2", "stem_norm": False, "norm_scale": False},
    ],
)
def test_what_works_in_place_gives_the_exact_gradients(options):
    model = ResNet([1, 1], [4, 8], **({"block": "bottleneck"} | options), dropout=0.25).double()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    gradients = []
    for network in (model, without_inplace(model)):
        torch.manual_seed(1)  # the same channels are dropped
        network(images).square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for (name, parameter), ours, reference in zip(model.named_parameters(), *gradients, strict=True):
        assert torch.equal(ours, reference) if parameter.requires_grad else ours is None, name


def test_squeeze_and_excitation_is_torchvisions():
    """In every block, after its last BatchNorm and before the sum."""
    model = ResNet([1, 1], [8, 16], squeeze_excitation=4).double()
    plain = ResNet([1, 1], [8, 16]).double()
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if ".se." not in name})
    for layer, reference, channels in zip(model.layers, plain.layers, (8, 16), strict=True):
        theirs = torchvision.ops.SqueezeExcitation(channels, channels // 4).double()
        for name in ("fc1", "fc2"):
            linear = getattr(layer[0].se, name)
            getattr(theirs, name).load_state_dict({"weight": linear.weight[:, :, None, None], "bias": linear.bias})
        reference[0].bn2 = nn.Sequential(reference[0].bn2, theirs)
    images = torch.randn(4, 3, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(model(images), plain(images), rtol=1e-10, atol=1e-12)


def test_batchnorm_has_the_given_values_everywhere():
    options = {"norm_momentum": 0.4, "norm_eps": 1e-3, "norm_scale": False, "transition": "pool", "strides": [2, 1]}
    model = ResNet([1, 1], [8, 16], block="bottleneck", **options)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 1 + 1 + 3 + 3 + 1  # stem, transition, two blocks, a skip
    for module in norms:
        assert (module.momentum, module.eps) == (0.4, 1e-3)
        assert (module.weight.requires_grad, module.bias.requires_grad) == (False, True)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_blocks_after_a_pooling_transition_have_identity_skips(block):
    model = ResNet([2, 1, 1], [8, 12, 16], strides=[2, 1, 2], transition="pool", block=block)
    assert [name for name, _ in model.layers[0].named_children()] == ["transition", "0", "1"]
    skips = [module.skip for layer in model.layers for name, module in layer.named_children() if name != "transition"]
    assert [isinstance(skip, nn.Identity) for skip in skips] == [True, True, False, True]  # the third widens without a stride
    sizes = [module(torch.randn(2, 3, 31, 31)).shape[-1] for module in (model.stem, nn.Sequential(model.stem, model.layers))]
    assert sizes == [31, 7]  # 15 after the first, 15, 7


def test_skip_is_the_identity_where_the_shape_stays():
    model = ResNet([2, 1, 1], [8, 8, 16], strides=[1, 1, 2], skip_kernels=[1, 1, 3])
    assert isinstance(model.layers[0][0].skip, nn.Identity)
    assert isinstance(model.layers[0][1].skip, nn.Identity)
    assert isinstance(model.layers[1][0].skip, nn.Identity)
    convolution = model.layers[2][0].skip.conv
    assert (convolution.kernel_size, convolution.padding, convolution.stride) == ((3, 3), (1, 1), (2, 2))
    assert convolution.bias is None
    # A bottleneck's first skip changes the channels although its stride is 1.
    assert isinstance(ResNet([1], [8], block="bottleneck").layers[0][0].skip.conv, nn.Conv2d)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_kernels_are_per_layer(block):
    model = ResNet([1, 2], [4, 8], kernels=[3, 5], block=block)
    assert model.layers[0][0].conv2.kernel_size == (3, 3)
    assert model.layers[1][0].conv2.kernel_size == model.layers[1][1].conv2.kernel_size == (5, 5)
    assert model.layers[1][0].conv1.kernel_size == ((5, 5) if block == "basic" else (1, 1))


def test_convolutions_have_he_initialisation():
    """Normal with variance 2 / (outputs * kernel area); BatchNorm starts as the identity."""
    model = ResNet([1, 1], [128, 256], kernels=[3, 5], block="basic")
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None, name
            std = (2 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
            weights = module.weight.detach()
            n = weights.numel()
            assert weights.mean().abs() < 5 * std / n**0.5, name
            assert abs(weights.std() / std - 1) < 5 / (2 * n) ** 0.5, name
            kurtosis = (weights / std).pow(4).mean()  # 3 of a normal, 1.8 of a uniform distribution
            assert abs(kurtosis - 3) < 5 * (96 / n) ** 0.5, name
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all(), name
            assert (module.bias == 0).all(), name


def test_same_seed_gives_the_same_weights():
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(ResNet([1, 1], [4, 8]).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["stem.conv.weight"], states[2]["stem.conv.weight"])


def test_imagenet_stem_leaves_a_quarter_of_224_pixels():
    with torch.device("meta"):
        model = ResNet([2, 2, 2, 2], STOCK, stem="7x7", num_classes=1000, image_size=224)
        images = torch.empty(2, 3, 224, 224)
    assert model.stem(images).shape == (2, 64, 56, 56)
    assert model.layers(model.stem(images)).shape == (2, 512, 7, 7)
    assert model(images).shape == (2, 1000)


@pytest.mark.parametrize(("pool", "features"), [(None, 16), (2, 16 * 16), (3, 16 * 4), (8, 16)])
def test_classifier_takes_what_the_pool_leaves(pool, features):
    model = ResNet([1, 1, 1], [4, 8, 16], pool=pool)
    assert model.fc.in_features == features
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_pool_over_what_is_left_takes_images_of_any_size():
    model = ResNet([1, 1], [4, 8]).eval()
    assert model(torch.randn(2, 3, 32, 32)).shape == model(torch.randn(2, 3, 40, 56)).shape == (2, 10)


def test_channels_last_gives_the_same_logits_and_stays_channels_last():
    options = {"transition": "pool", "squeeze_excitation": 2, "pooling": "max"}
    model = ResNet([1, 1], [8, 16], block="bottleneck", stem="7x7", dropout=0.25, **options).double()
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    expected = model.eval()(images)
    model = model.to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    features = model.layers(model.stem(images))
    assert features.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(model(images), expected, rtol=1e-10, atol=1e-12)
    model.train()(images).sum().backward()


def test_network_can_be_pickled_with_its_architecture():
    model = ResNet([1, 1], [4, 8], kernels=[3, 5])
    assert pickle.loads(pickle.dumps(model)).architecture == model.architecture
