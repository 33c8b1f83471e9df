"""The weights that a new run starts from (`weights=`): a checkpoint of resnet_lit, or another file with a state_dict that fits.

A state_dict is taken as it is or from inside a file ({"net": …}, {"state_dict": …}), whatever stands before its names
(`module.` of DataParallel, `_orig_mod.` of torch.compile, `network.` of ours). For our ResNet the names of torchvision's ResNet
and of the CIFAR repositories that follow it (`layer1.0.downsample.0`, `layer1.0.shortcut.0`) are translated.
Files are read with weights_only=True: no code in them runs.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lit import checkpoints
from resnet_lit.models.resnet import ResNet
from resnet_lit.typed import ConfigError

NAMED = 3  # layers that an error line names of each kind
PREFERRED = ("state_dict", "model_state_dict", "model", "net", "network")  # where files hold more than one state_dict
# Other names of our ResNet's layers: pattern and replacement, ours first.
COMMON = ((r"^stem\.(conv|bn)\.", r"\g<1>1."), (r"^layers\.(\d+)\.", lambda match: f"layer{int(match[1]) + 1}."))
TORCHVISION = (*COMMON, (r"\.skip\.conv\.", ".downsample.0."), (r"\.skip\.bn\.", ".downsample.1."))
CIFAR = (*COMMON, (r"\.skip\.conv\.", ".shortcut.0."), (r"\.skip\.bn\.", ".shortcut.1."), (r"^fc\.", "linear."))


@dataclass(frozen=True)
class Match:
    """A state_dict of a file under the network's own names.

    tensors: those that the network has by name, whatever their shape. unexpected: names of the file that the network lacks.
    outside: names that do not begin with what stands before the network's (a loss, a second network). place: where in the file.
    """

    place: str
    tensors: dict[str, Tensor]
    unexpected: list[str]
    outside: list[str]


def start_from(network: nn.Module, path: str | Path, *, new_head: bool = False) -> str:
    """Load the weights in a file into `network`; a line that says what was loaded and what was left out.

    new_head: all but the classifier head, which keeps the weights that it was initialised with. Raises ConfigError, one line,
    where the file holds no weights, or where they do not fit: which names or shapes differ, and what to do.
    """
    content = _read(Path(path))
    parts = dict(_state_dicts(content))
    if not parts:
        held = (
            f"{', '.join(map(str, list(content)[:NAMED])) or 'nothing'}"
            if isinstance(content, Mapping)
            else type(content).__name__
        )
        raise ConfigError(
            f"weights={path}: holds no state_dict (it holds {held}); save one with torch.save(model.state_dict(), …)"
        )
    own = network.state_dict()
    match = max((_match(place, state, network, own) for place, state in parts.items()), key=lambda one: len(one.tensors))
    if not match.tensors:
        theirs = next(iter(parts.values()))
        raise ConfigError(
            f"weights={path}: has no layer of this model: its names are {_some(theirs)}, the model's {_some(own)}; "
            "choose the model that it was trained with"
        )
    head = _head(network, match.tensors)
    left_out: list[str] = []
    if new_head and head is None:
        raise ConfigError(f"weights_head=new: this model has no linear layer; without it all of weights={path} has to fit")
    if new_head:
        left_out = [name for name in own if name.rpartition(".")[0] == head]
        if f"{head}.weight" not in match.tensors and len({name.rpartition(".")[0] for name in match.unexpected}) == 1:
            match = replace(match, unexpected=[], outside=[*match.unexpected, *match.outside])  # its head has another name
    _check_fit(match, own, left_out, head, path, _trained_model(content))
    network.load_state_dict({**own, **{name: tensor for name, tensor in match.tensors.items() if name not in left_out}})
    return _told(path, match, own, left_out, head, ours="resnet_lit" in content)


def _read(path: Path) -> Any:
    """What a file of torch.save holds, on the CPU. Raises ConfigError where it is none, or is damaged."""
    if path.suffix == ".safetensors":
        raise ConfigError(
            f"weights={path}: is not read; torch.save(safetensors.torch.load_file(…), 'weights.pth') makes a file that is"
        )
    try:
        if zipfile.is_zipfile(path):
            return checkpoints.load(path)
        return torch.load(path, map_location="cpu", weights_only=True)  # as torch wrote files before 1.6
    except UnpicklingError as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused is None:
            raise ConfigError(f"weights={path}: is not a PyTorch checkpoint, or is damaged") from error
        raise ConfigError(
            f"weights={path}: holds an object ({refused[1]}), which could run code and is not read; save the weights alone: "
            "torch.save(model.state_dict(), …)"
        ) from error
    except Exception as error:  # whatever a damaged zip or another kind of file raises
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise ConfigError(f"weights={path}: is not a PyTorch checkpoint, or is damaged ({reason})") from error


def _state_dicts(content: Any, place: str = "", depth: int = 3) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The mappings from names to tensors in a file, the outer ones first, each with its place (`net`, `best.state_dict`)."""
    if not isinstance(content, Mapping):
        return
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield place, tensors
    if depth:
        known = [key for key in PREFERRED if key in content]
        for key in (*known, *(key for key in content if key not in known)):
            yield from _state_dicts(content[key], f"{place}.{key}".lstrip("."), depth - 1)


def _match(place: str, state: Mapping[str, Tensor], network: nn.Module, own: Mapping[str, Tensor]) -> Match:
    """`state` under the names of the network: whatever naming and prefix gives the most of them."""
    state = {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items()}
    best: tuple[int, str, dict[str, str]] = (0, "", {name: name for name in own})
    for naming in _namings(network, own):
        found = Counter(name[: -len(end)] for name in state for end in _ends(name) if end in naming)
        for prefix in sorted(found, key=len):
            if found[prefix] > best[0]:
                best = (found[prefix], prefix, naming)
    _, prefix, naming = best
    inside = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return Match(
        place,
        {naming[name]: tensor for name, tensor in inside.items() if name in naming},
        [name for name in inside if name not in naming],
        [name for name in state if not name.startswith(prefix)],
    )


def _namings(network: nn.Module, own: Mapping[str, Tensor]) -> Iterator[dict[str, str]]:
    """The names under which a file may hold the network's tensors: {name there: name here}."""
    yield {name: name for name in own}
    for patterns in (TORCHVISION, CIFAR) if isinstance(network, ResNet) else ():
        other = {}
        for name in own:
            translated = name
            for pattern, replacement in patterns:
                translated = re.sub(pattern, replacement, translated)
            other[translated] = name
        yield other


def _ends(name: str) -> Iterator[str]:
    """`a.b.c`, `b.c`, `c`."""
    yield name
    while "." in name:
        name = name.partition(".")[2]
        yield name


def _head(network: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """The classifier head: the last linear layer; an earlier one where the last fits and that one has another number of outputs.

    In a network without linear layers, the same among its convolutions. None where it has neither.
    """

    def fits(layer: nn.Linear | nn.Conv2d, there: Tensor | None, first: int) -> bool:
        return there is not None and there.shape[first:] == layer.weight.shape[first:]

    for kind in (nn.Linear, nn.Conv2d):
        layers = [(n, layer, tensors.get(f"{n}.weight")) for n, layer in network.named_modules() if isinstance(layer, kind)]
        if layers:
            name, last, there = layers[-1]
            others = [n for n, layer, there in layers if fits(layer, there, 1) and not fits(layer, there, 0)]
            return others[-1] if others and fits(last, there, 0) else name
    return None


def _check_fit(
    match: Match, own: Mapping[str, Tensor], left_out: Sequence[str], head: str | None, path: str | Path, trained: str
) -> None:
    shapes = [name for name, tensor in match.tensors.items() if tensor.shape != own[name].shape and name not in left_out]
    # counts how many batches BatchNorm has seen; torch before 0.4.1 did not save it, and it plays no part
    missing = [
        name for name in own if name not in match.tensors and name not in left_out and not name.endswith("num_batches_tracked")
    ]
    if not (shapes or missing or match.unexpected):
        return
    differ = [f"{name} {_shape(match.tensors[name])} there, {_shape(own[name])} here" for name in shapes]
    kinds = [(differ, "of another shape"), (missing, "missing there"), (match.unexpected, "not in the model")]
    what = "; ".join(f"{len(names)} {kind} ({_some(names)})" for names, kind in kinds if names)
    only_head = {name.rpartition(".")[0] for name in (*shapes, *missing)} == {head}
    remedy = (
        f"weights_head=new loads all but {head}, which then starts new"
        if only_head and not left_out
        else f"choose the model that it was trained with{trained}"
    )
    raise ConfigError(f"weights={path}: does not fit this model{' beside its head' if left_out else ''}: {what}; {remedy}")


def _trained_model(content: Mapping[str, Any]) -> str:
    """` (model1)`: the model that a checkpoint of ours names."""
    try:
        return f" ({content['resnet_lit']['config']['model']['name']})"
    except (KeyError, TypeError):
        return ""


def _told(
    path: str | Path, match: Match, own: Mapping[str, Tensor], left_out: Sequence[str], head: str | None, ours: bool
) -> str:
    place = f" ({match.place})" if match.place and not ours else ""
    line = f"weights={path}{place}: {len({*match.tensors} - {*left_out})} of {len(own)} tensors loaded"
    if left_out:
        shapes = ", ".join(f"{name} {_shape(match.tensors[name])}" if name in match.tensors else name for name in left_out)
        line += f"; the head {head} starts new (left out: {shapes})"
    if match.outside and not ours:
        line += f"; {len(match.outside)} that belong to no part of the model are left out ({_some(match.outside)})"
    return line


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _some(names: Mapping[str, Any] | Sequence[str]) -> str:
    """The first few names, and `…` where there are more."""
    return ", ".join([*list(names)[:NAMED], *(["…"] if len(names) > NAMED else [])])
