"""The counts of cost.py against the paper, and against the network that torch builds from the same numbers."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_lit.models.architecture import Architecture
from resnet_lit.models.cost import count_frozen, count_multiply_adds, count_parameters, layers, table
from resnet_lit.models.resnet import ResNet

STOCK = (64, 128, 256, 512)
NARROW = (32, 64, 128, 256)

PUBLISHED = {
    "model1": ({"blocks": (2, 2, 2), "channels": (64, 128, 256)}, 2_777_674),
    "model2": ({"blocks": (2, 2, 2, 2), "channels": NARROW}, 2_797_610),
    "model3": ({"blocks": (3, 3, 3, 3), "channels": NARROW}, 4_366_250),
    "model4": ({"blocks": (2, 1, 1, 1), "channels": STOCK}, 4_977_226),
    "resnet18": ({"blocks": (2, 2, 2, 2), "channels": STOCK}, 11_173_962),
    "resnet34": ({"blocks": (3, 4, 6, 3), "channels": STOCK}, 21_282_122),
    "resnet50": ({"blocks": (3, 4, 6, 3), "channels": STOCK, "block": "bottleneck"}, 23_520_842),
    "resnet101": ({"blocks": (3, 4, 23, 3), "channels": STOCK, "block": "bottleneck"}, 42_512_970),
    "resnet152": ({"blocks": (3, 8, 36, 3), "channels": STOCK, "block": "bottleneck"}, 58_156_618),
}
# What the paper's text says of its models, where that gives another count than the one it states.
CONTRADICTIONS = {
    "model1, P=4": ({"blocks": (2, 2, 2), "channels": (64, 128, 256), "pool": 4}, 2_785_354),
    "model2, K=3": ({"blocks": (2, 2, 2, 2), "channels": NARROW, "skip_kernels": 3}, 3_141_674),
    "model3, K=3": ({"blocks": (3, 3, 3, 3), "channels": NARROW, "skip_kernels": 3}, 4_710_314),
    "model4, the text's channels": ({"blocks": (2, 1, 1, 1), "channels": NARROW}, 1_247_530),
    "model4, K=3": ({"blocks": (2, 1, 1, 1), "channels": STOCK, "skip_kernels": 3}, 6_353_482),
}
COUNTS = PUBLISHED | CONTRADICTIONS


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_count_is_the_papers(name):
    numbers, expected = COUNTS[name]
    assert count_parameters(Architecture(**numbers)) == expected
    with torch.device("meta"):  # shapes only: no memory, no initialisation
        model = ResNet(**numbers)
    assert sum(p.numel() for p in model.parameters()) == expected


def random_numbers(seed: int) -> dict:
    """The numbers of a random network that is valid: strides and pool are drawn from what the pixels allow."""
    rng = random.Random(seed)
    n = rng.randint(1, 5)
    stem = rng.choice(["2x2", "3x3", "7x7"])
    transition = rng.choice(["strided", "pool"])
    image_size = rng.choice([24, 28, 32, 33, 47, 64])
    pixels = {"2x2": image_size - 1, "3x3": image_size, "7x7": (image_size + 3) // 4}[stem]
    strides = []
    for _ in range(n):
        strides.append(rng.randint(1, min(3, pixels)))
        pixels = pixels // strides[-1] if transition == "pool" else -(-pixels // strides[-1])
    if max(strides) == 1:
        transition = "strided"
    return {
        "blocks": [rng.randint(1, 3) for _ in range(n)],
        "channels": [rng.choice([4, 6, 8, 16]) for _ in range(n)],
        "kernels": rng.choice([1, 3, 5, [rng.choice([1, 3, 5, 7]) for _ in range(n)]]),
        "skip_kernels": rng.choice([1, 3, [rng.choice([1, 3, 5]) for _ in range(n)]]),
        "strides": strides,
        "stem": stem,
        "stem_channels": rng.choice([None, 6, 24]),
        "stem_norm": rng.choice([True, False]),
        "stem_frozen": rng.choice([True, False]),
        "transition": transition,
        "pooling": rng.choice(["average", "max"]),
        "squeeze_excitation": rng.choice([None, 2, 4]),
        "activation": rng.choice(["relu", "gelu", "silu"]),
        "norm_scale": rng.choice([True, False]),
        "init": rng.choice(["kaiming", "dirac"]),
        "head_bias": rng.choice([True, False]),
        "logit_scale": rng.choice([1.0, 0.5]),
        "pool": rng.choice([None, rng.randint(1, pixels)]),
        "block": rng.choice(["basic", "bottleneck"]),
        "dropout": rng.choice([0.0, 0.25]),
        "num_classes": rng.randint(2, 100),
        "in_channels": rng.choice([1, 3]),
        "image_size": image_size,
    }


@pytest.mark.parametrize("seed", range(40))
def test_rows_equal_the_modules_of_torch(seed):
    """Names, kinds, order, parameters and output shapes by forward hooks; multiply-adds by torch's own counter."""
    numbers = random_numbers(seed)
    architecture = Architecture(**numbers)
    with torch.device("meta"):
        model = ResNet(**numbers).eval()  # training refuses one image where one pixel is left
        images = torch.empty(1, architecture.in_channels, architecture.image_size, architecture.image_size)

    shapes = {}
    modules = {}
    for name, module in model.named_modules():
        if not list(module.children()) and not isinstance(module, nn.ReLU | nn.GELU | nn.SiLU | nn.Identity):
            modules[name] = module
            module.register_forward_hook(lambda _m, _i, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
    with FlopCounterMode(display=False) as counter:
        model(images)

    rows = layers(architecture)
    # The stem's names come conv, bn, dropout, (activation,) pool; a block's in the order it defines them.
    kinds = {name: type(module).__name__.removeprefix("Subsampled") for name, module in modules.items()}
    assert [(row.name, row.kind) for row in rows] == [*kinds.items()]
    for row in rows:
        assert row.parameters == sum(p.numel() for p in modules[row.name].parameters()), row
        assert row.frozen == sum(p.numel() for p in modules[row.name].parameters() if not p.requires_grad), row
        assert row.output_shape == shapes[row.name], row
        own = counter.get_flop_counts().get(f"ResNet.{row.name}", {})
        assert 2 * row.multiply_adds == sum(own.values()), row  # two flops in one multiply-add
    assert count_parameters(architecture) == sum(p.numel() for p in model.parameters())
    assert 2 * count_multiply_adds(architecture) == counter.get_total_flops()


def test_random_architectures_cover_every_choice():
    drawn = [random_numbers(seed) for seed in range(40)]
    assert len({numbers["stem"] for numbers in drawn}) == 3
    for key in (
        "block",
        "dropout",
        "in_channels",
        "transition",
        "pooling",
        "stem_norm",
        "stem_frozen",
        "norm_scale",
        "head_bias",
    ):
        assert len({numbers[key] for numbers in drawn}) == 2, key
    assert {numbers["pool"] is None for numbers in drawn} == {True, False}
    for key in ("kernels", "skip_kernels"):
        assert {isinstance(numbers[key], int) for numbers in drawn} == {True, False}


def test_resnet18_multiply_adds_are_the_known_ones():
    """0.56 G in the CIFAR form; 1.81 G in the ImageNet form, as torchvision states for its weights."""
    assert count_multiply_adds(Architecture((2, 2, 2, 2), STOCK)) == 555_422_720
    imagenet = Architecture((2, 2, 2, 2), STOCK, stem="7x7", num_classes=1000, image_size=224)
    assert count_multiply_adds(imagenet) == 1_814_073_344


def test_table_shows_every_row_and_the_totals_in_100_columns():
    architecture = Architecture(
        (3, 4, 6, 3), STOCK, stem="7x7", block="bottleneck", dropout=0.25, num_classes=1000, image_size=224
    )
    lines = table(architecture).splitlines()
    assert max(map(len, lines)) <= 100
    for row in layers(architecture):
        (line,) = [line for line in lines if line.startswith(f"{row.name} ")]
        assert line.split()[1] == row.kind
        assert line.split()[-2:] == [f"{row.parameters:,}", f"{row.multiply_adds:,}"]
        assert " x ".join(map(str, row.output_shape)) in line
    (total,) = [line for line in lines if line.startswith("total")]
    assert total.split() == ["total", "25,557,032", f"{count_multiply_adds(architecture):,}"]  # torchvision's resnet50


def test_a_network_is_counted_at_another_resolution() -> None:
    """What torch counts on smaller images; where the pool does not leave as many features, they do not fit."""
    architecture = Architecture((1, 1, 1), (8, 16, 16), strides=(2, 2, 2), stem="2x2", transition="pool", pooling="max")
    with torch.device("meta"):
        model = ResNet((1, 1, 1), (8, 16, 16), strides=(2, 2, 2), stem="2x2", transition="pool", pooling="max").eval()
        for size in (24, 28, 32):
            with FlopCounterMode(display=False) as counter:
                assert model(torch.empty(1, 3, size, size)).shape == (1, 10)
            assert 2 * count_multiply_adds(architecture.at(size)) == counter.get_total_flops()
    assert count_parameters(architecture.at(24)) == count_parameters(architecture)
    with pytest.raises(
        ValueError, match=r"^model.pool=2: leaves another number of features of images of 24x24 .*model.pool=null"
    ):
        Architecture((1, 1), (8, 16), pool=2).at(24)
    with pytest.raises(ValueError, match=r"only 1x1 pixels are left before layer 3"):
        architecture.at(6)


def test_the_table_says_what_is_never_trained() -> None:
    architecture = Architecture((1,), (4,), norm_scale=False, stem_frozen=True)
    assert count_frozen(architecture) == 4 * 27 + 3 * 4
    assert "parameters: 350 trained, 120 fixed at their initial values" in table(architecture)
    assert "fixed" not in table(Architecture((1,), (4,)))


def test_import_needs_no_torch():
    code = "import sys, resnet_lit.models.cost; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sequences_are_kept_as_tuples_and_can_be_hashed():
    architecture = Architecture([2, 2], [8, 16], kernels=[3, 5], strides=[1, 2])
    assert architecture == Architecture((2, 2), (8, 16), kernels=(3, 5), strides=(1, 2))
    assert hash(architecture) == hash(Architecture((2, 2), (8, 16), kernels=(3, 5), strides=(1, 2)))


GOOD = {"blocks": (2, 2, 2, 2), "channels": STOCK}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": (64, 128, 256)}, "model.blocks has 4 values but model.channels has 3: give one per layer"),
        (
            {"kernels": (3, 3)},
            "model.kernels has 2 values but model.blocks has 4: give one per layer, or one for all",
        ),
        (
            {"skip_kernels": (1, 1, 1, 1, 1)},
            "model.skip_kernels has 5 values but model.blocks has 4: give one per layer, or one for all",
        ),
        ({"strides": (1, 2)}, "model.strides has 2 values but model.blocks has 4: give one per layer"),
        ({"strides": 2}, "model.strides=2: must be a list with one number per layer (try model.strides=[1,2,2,2])"),
        ({"blocks": ()}, "model.blocks=[]: must be a list with one number per layer (try model.blocks=[2,2,2,2])"),
        (
            {"channels": 64},
            "model.channels=64: must be a list with one number per layer (try model.channels=[64,128,256,512])",
        ),
        ({"pool": 9}, "model.pool=9: only 4x4 pixels are left before it (try model.pool=4)"),
        ({"pool": 0}, "model.pool=0: must be a whole number, at least 1 (try model.pool=4)"),
        ({"kernels": 4}, "model.kernels=4: must be odd, so that padding keeps the size (try model.kernels=3)"),
        (
            {"kernels": (3, 2, 6, 5)},
            "model.kernels=[3,2,6,5]: must be odd, so that padding keeps the size (try model.kernels=[3,3,5,5])",
        ),
        (
            {"skip_kernels": 2},
            "model.skip_kernels=2: must be odd, so that padding keeps the size (try model.skip_kernels=3)",
        ),
        (
            {"blocks": (2, 0, 1, -1)},
            "model.blocks=[2,0,1,-1]: must be a whole number, at least 1 (try model.blocks=[2,2,1,2])",
        ),
        (
            {"channels": (64, 9.5, 256, 512)},
            "model.channels=[64,9.5,256,512]: must be a whole number, at least 1 (try model.channels=[64,64,256,512])",
        ),
        (
            {"strides": (1, 2, 0, 2)},
            "model.strides=[1,2,0,2]: must be a whole number, at least 1 (try model.strides=[1,2,1,2])",
        ),
        ({"num_classes": 0}, "model.num_classes=0: must be a whole number, at least 1 (try model.num_classes=10)"),
        ({"in_channels": -3}, "in_channels=-3: must be a whole number, at least 1 (try in_channels=3)"),
        ({"image_size": 0}, "data.image_size=0: must be a whole number, at least 1 (try data.image_size=32)"),
        ({"stem": "5x5"}, "model.stem=5x5: must be 2x2, 3x3 or 7x7 (try model.stem=3x3)"),
        ({"block": "wide"}, "model.block=wide: must be basic or bottleneck (try model.block=basic)"),
        ({"dropout": 1.0}, "model.dropout=1: must be at least 0 and below 1 (try model.dropout=0.25)"),
        ({"dropout": -0.1}, "model.dropout=-0.1: must be at least 0 and below 1 (try model.dropout=0.25)"),
        (
            {"image_size": 4},
            "model.strides=[1,2,2,2]: only 1x1 pixels are left before layer 4, too few for its stride of 2 "
            "(try model.strides=[1,2,2,1], or fewer layers)",
        ),
        ({"transition": "max"}, "model.transition=max: must be strided or pool (try model.transition=strided)"),
        ({"activation": "tanh"}, "model.activation=tanh: must be relu, gelu or silu (try model.activation=relu)"),
        (
            {"transition": "pool", "strides": (1, 1, 1, 1)},
            "model.transition=pool: pools where a layer has a stride above 1, and none has (try model.strides=[2,2,2,2])",
        ),
        (
            {"transition": "pool", "strides": (2, 2, 2, 2), "image_size": 8},
            "model.strides=[2,2,2,2]: only 1x1 pixels are left before layer 4, too few for its stride of 2 "
            "(try model.strides=[2,2,2,1], or fewer layers)",
        ),
        (
            {"squeeze_excitation": 65},
            "model.squeeze_excitation=65: a reduction by more than the 64 channels that there are "
            "(try model.squeeze_excitation=16)",
        ),
        ({"stem_channels": 0}, "model.stem_channels=0: must be a whole number, at least 1 (try model.stem_channels=24)"),
        ({"stem": "2x2", "image_size": 1}, "data.image_size=1: too few pixels for model.stem=2x2 (try model.stem=3x3)"),
        (
            {"stem": "7x7", "image_size": 2},
            "data.image_size=2: too few pixels for model.stem=7x7 (try model.stem=3x3)",
        ),
    ],
)
def test_error_names_key_value_and_remedy(change, message):
    with pytest.raises(ValueError) as from_cost:  # noqa: PT011 (the whole message is compared)
        Architecture(**(GOOD | change))
    assert str(from_cost.value) == message
    with pytest.raises(ValueError) as from_torch:  # noqa: PT011
        ResNet(**(GOOD | change))
    assert str(from_torch.value) == message
