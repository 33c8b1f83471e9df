"""`weights=`: files of others, their names, what does not fit, and a new head."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from tests_support import TINY, image_tree
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from resnet_lit.models.resnet import ResNet
from resnet_lit.starting_weights import start_from
from resnet_lit.typed import ConfigError


def small(classes: int = 10, width: int = 4) -> ResNet:
    return ResNet([1, 1], [width, 2 * width], num_classes=classes)


def saved(content: object, folder: Path) -> Path:
    torch.save(content, folder / "file.pth")
    return folder / "file.pth"


def with_statistics(network: nn.Module) -> nn.Module:
    """The network with other weights than it is built with, in its running means too."""
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.ndim == 1:  # BatchNorm's, and the head's bias
                tensor.add_(torch.rand_like(tensor))
    return network.eval()


def refusal(network: nn.Module, path: Path, **options: bool) -> str:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ConfigError) as error:
        start_from(network, path, **options)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_state_dict_loads_from_whatever_it_is_wrapped_in(tmp_path) -> None:
    trained = with_statistics(small())
    state = trained.state_dict()
    compiled = {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    for content in (
        state,
        {"net": {f"module.{name}": tensor for name, tensor in state.items()}, "acc": 95.0, "epoch": 1},
        {"epoch": 3, "optimizer": optimizer, "model": compiled},
        {"lr": torch.tensor(0.1), "state_dict": {f"model.{n}": t for n, t in state.items()} | {"loss.weight": torch.ones(10)}},
        {"a": {"b": state}},
    ):
        network = small()
        told = start_from(network, saved(content, tmp_path))
        assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
        assert f"{len(state)} of {len(state)} tensors loaded" in told
        assert ("loss.weight" in told) == ("lr" in content)


@pytest.mark.parametrize("names", ["torchvision", "cifar"])
@pytest.mark.parametrize(("block", "theirs"), [("basic", BasicBlock), ("bottleneck", Bottleneck)])
def test_weights_of_torchvision_give_its_outputs(tmp_path, block, theirs, names) -> None:
    torch.manual_seed(0)
    network = with_statistics(torchvision.models.ResNet(theirs, [2, 1, 1, 1], num_classes=7))
    state = network.state_dict()
    if names == "cifar":  # the same network under the names of the CIFAR repositories
        state = {key.replace("downsample", "shortcut").replace("fc.", "linear."): value for key, value in state.items()}
    ours = ResNet([2, 1, 1, 1], [64, 128, 256, 512], num_classes=7, stem="7x7", block=block)
    start_from(ours, saved({"net": {f"module.{key}": value for key, value in state.items()}}, tmp_path))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(ours.eval()(images), network(images), rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_named_with_the_remedy(tmp_path) -> None:
    state = small().state_dict()
    text = refusal(small(classes=3), saved(state, tmp_path))
    assert "2 of another shape (fc.weight 10x8 there, 3x8 here, fc.bias 10 there, 3 here)" in text
    assert "weights_head=new" in text
    text = refusal(small(width=8), saved(state, tmp_path))
    assert "stem.conv.weight 4x3x3x3 there, 8x3x3x3 here" in text
    assert "…" in text
    assert "weights_head" not in text
    assert "choose the model" in text
    other = {**{name: tensor for name, tensor in state.items() if "bn2" not in name}, "extra.weight": torch.ones(1)}
    text = refusal(small(), saved(other, tmp_path))
    assert "8 missing there (layers.0.0.bn2.weight, " in text
    assert "1 not in the model (extra.weight)" in text
    text = refusal(torchvision.models.squeezenet1_1(num_classes=10), saved(state, tmp_path))
    assert "has no layer of this model: its names are stem.conv.weight, " in text
    deeper = saved(torchvision.models.resnet18().state_dict(), tmp_path)
    text = refusal(ResNet([2, 2, 2, 2], [64, 128, 256, 512], num_classes=1000), deeper)
    assert "stem.conv.weight 64x3x7x7 there, 64x3x3x3 here" in text  # model.stem=7x7 is theirs


def test_files_that_hold_no_weights_say_what_they_are(tmp_path) -> None:
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "is not a PyTorch checkpoint" in refusal(small(), tmp_path / "photo.png")
    (tmp_path / "empty.pth").touch()
    assert "is not a PyTorch checkpoint" in refusal(small(), tmp_path / "empty.pth")
    assert "holds no state_dict (it holds accuracy, epoch)" in refusal(small(), saved({"accuracy": 0.9, "epoch": 1}, tmp_path))
    assert "holds no state_dict (it holds list)" in refusal(small(), saved([1, 2], tmp_path))
    text = refusal(small(), saved(small(), tmp_path))
    assert "resnet_lit.models.resnet.ResNet" in text
    assert "torch.save(model.state_dict()" in text
    small_state = small().state_dict()
    path = saved(small_state, tmp_path)
    content = bytearray(path.read_bytes())
    content[content.find(small_state["stem.conv.weight"].numpy().tobytes())] ^= (
        1  # torch alone loads other weights without a word
    )
    path.write_bytes(content)
    assert "damaged" in refusal(small(), path)
    assert "safetensors" in refusal(small(), tmp_path / "model.safetensors")


def test_files_of_before_torch_1_6_are_read(tmp_path) -> None:
    state = {name: tensor for name, tensor in small().state_dict().items() if "num_batches_tracked" not in name}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    network = small()
    start_from(network, tmp_path / "old.pth")
    assert torch.equal(network.fc.weight, state["fc.weight"])


class Mine(nn.Module):
    """Two linear layers, of which `out` is the head, first or last among the attributes."""

    def __init__(self, num_classes: int, hidden: int = 5, head_first: bool = False) -> None:
        super().__init__()
        layers = {"body": nn.Linear(12, hidden), "out": nn.Linear(hidden, num_classes)}
        for name in reversed(layers) if head_first else layers:
            self.add_module(name, layers[name])

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.body(images.flatten(1)))


@pytest.mark.parametrize(
    ("build", "head"),
    [
        (small, "fc"),
        (Mine, "out"),
        (lambda classes: torchvision.models.squeezenet1_1(num_classes=classes), "classifier.1"),
        (lambda classes: torchvision.models.mobilenet_v3_small(num_classes=classes), "classifier.3"),
    ],
)
@pytest.mark.parametrize("classes", [3, 10])
def test_a_new_head_keeps_its_own_weights_and_the_rest_is_loaded(tmp_path, build, head, classes) -> None:
    """Where the number of classes is the same, too: they are other classes."""
    state, network = build(10).state_dict(), build(classes)
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    told = start_from(network, saved(state, tmp_path), new_head=True)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, (own if name.startswith(f"{head}.") else state)[name])
    assert f"the head {head} starts new" in told
    assert f"{head}.weight 10x" in told


def test_a_new_head_is_put_on_a_file_without_one_or_with_one_of_another_name(tmp_path) -> None:
    state = {name: tensor for name, tensor in small().state_dict().items() if not name.startswith("fc.")}
    for more in ({}, {"head.weight": torch.ones(4, 8), "head.bias": torch.ones(4)}):
        network = small(3)
        told = start_from(network, saved({**state, **more}, tmp_path), new_head=True)
        assert torch.equal(network.stem.conv.weight, state["stem.conv.weight"])
        assert ("head.weight" in told) == bool(more)


def test_the_head_is_the_layer_that_differs_where_it_is_not_the_last_one(tmp_path) -> None:
    network = Mine(3, head_first=True)
    assert "the head out starts new" in start_from(network, saved(Mine(10).state_dict(), tmp_path), new_head=True)


def test_a_new_head_does_not_hide_that_the_rest_does_not_fit(tmp_path) -> None:
    text = refusal(Mine(3, hidden=6), saved(Mine(10).state_dict(), tmp_path), new_head=True)
    assert "beside its head: 2 of another shape (body.weight 5x12 there, 6x12 here" in text
    assert "out." not in text
    text = refusal(small(3, width=8), saved(small().state_dict(), tmp_path), new_head=True)
    assert "stem.conv.weight" in text
    assert "fc" not in text
    assert "weights_head=new: this model has no linear layer" in refusal(
        nn.BatchNorm1d(3), saved(nn.BatchNorm1d(3).state_dict(), tmp_path), new_head=True
    )


@pytest.mark.slow
def test_a_run_on_other_classes_starts_from_an_earlier_one(tmp_path) -> None:
    from resnet_lit.config import load
    from resnet_lit.identity import identity
    from resnet_lit.run import run

    image_tree(tmp_path / "two", size=16)
    image_tree(tmp_path / "three", classes=("cat", "dog", "fox"), size=16)
    words = [
        *(w for w in TINY if "limit" not in w and "experiment" not in w),
        "data=folder",
        "augment=none",
        "data.batch_size=16",
    ]
    words.append("trainer.max_epochs=1")
    run(load(*words, f"data.root={tmp_path}/two"), tmp_path / "run")
    weights = f"weights={tmp_path}/run/checkpoints/best.ckpt"
    with pytest.raises(ConfigError, match=r"fc\.weight 2x8 there, 3x8 here.*weights_head=new"):
        run(load(*words, f"data.root={tmp_path}/three", weights), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    config = load(*words, f"data.root={tmp_path}/three", weights, "weights_head=new")
    assert identity(config) != identity(load(*words, f"data.root={tmp_path}/three", weights))
    assert run(config, tmp_path / "other")["status"] == "finished"
    assert "the head fc starts new" in (tmp_path / "other" / "train.log").read_text()


def test_a_new_head_needs_weights() -> None:
    from resnet_lit.config import load

    with pytest.raises(ConfigError, match=r"^weights_head=new: .*weights="):
        load("weights_head=new")
