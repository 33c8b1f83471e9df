"""The network of a config: built, tried on a few images, counted."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from resnet_lit.models.init import whiten
from resnet_lit.models.resnet import ResNet
from resnet_lit.plugins import locate, parameters_of
from resnet_lit.schema import architecture, check_budget
from resnet_lit.sections import RESNET, Data, Model
from resnet_lit.typed import ConfigError, show

LARGER = (64, 224, 299)  # sides in pixels of the images that published networks take
TRIED = 2  # images of a trial batch: BatchNorm takes no less


def build_network(model: Model, num_classes: int, in_channels: int = 3, image_size: int = 32) -> nn.Module:
    """The network of a config, for images (N, in_channels, image_size, image_size).

    A class of the user's own is tried on two images, in eval and in train mode, on a copy: weights, statistics and the state of
    the random numbers stay. Its lazy layers get their shapes. Raises ConfigError where it does not fit the data or its budget.
    """
    if model.num_classes is not None and model.num_classes < num_classes:
        raise ConfigError(
            f"model.num_classes={model.num_classes}: the data have {num_classes} classes (try model.num_classes=null)"
        )
    classes = model.num_classes or num_classes
    if model.target != RESNET:
        network = _own_network(model, classes)
        _try(network, model, num_classes, classes, (in_channels, image_size, image_size))
    else:
        try:
            plain = architecture(model, classes, image_size, in_channels)
            options = {f.name: getattr(plain, f.name) for f in fields(plain)}
            network = ResNet(options.pop("blocks"), options.pop("channels"), **options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"model: {error}" if not str(error).startswith("model") else str(error)) from error
    check_budget(model, count_parameters(network))
    return network


def count_parameters(network: nn.Module) -> int:
    """Parameters, trained or not."""
    return sum(p.numel() for p in network.parameters())


def count_trained(network: nn.Module) -> int:
    """Those of the parameters that are trained, from the start or later."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def needs_images(model: Model) -> bool:
    """Whether a new network's initial weights are computed from training images: `initialise_stem`."""
    return model.target == RESNET and model.stem_init == "whitened"


def initialise_stem(network: nn.Module, model: Model, images: Tensor, mean: Sequence[float], std: Sequence[float]) -> None:
    """Whiten the stem of a new network by a sample of the training images, (N, C, H, W) uint8.

    mean, std: per channel, of pixels in [0, 1], as they are normalized in training.
    """
    means, stds = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
    conv = network.get_submodule("stem.conv")
    whiten(conv, images, model.stem_init_eps, lambda part: (part.float() / 255 - means) / stds)  # type: ignore[arg-type]


def check_smallest_batch(
    network: nn.Module, images: int, batch_size: int, shape: tuple[int, int, int], processes: int = 1
) -> None:
    """Refuse a run whose BatchNorm would meet a batch with one value for each channel, which torch does not train on.

    images: in the smallest batch of an epoch, over all processes. shape: (C, H, W) of an image. Raises ConfigError.
    """
    if images // processes != 1:
        return
    try:
        _outputs(network, torch.zeros(1, *shape), train=True)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        which = "the last batch of an epoch has" if images < batch_size else "a batch has"
        remedy = "data.drop_last=true" if images < batch_size else f"data.batch_size={2 * processes}"
        each = " for a process" if processes > 1 else ""
        raise ConfigError(
            f"data.batch_size={batch_size}: {which} one image{each}, and BatchNorm cannot train on one image where one pixel is "
            f"left of it (try {remedy})"
        ) from error


def check_smaller_images(network: nn.Module, model: Model, data: Data, classes: int, in_channels: int = 3) -> None:
    """Refuse a class of the user's own that does not take every size of `data.resolution`. Raises ConfigError, one line."""
    for pixels in dict.fromkeys(data.resolution or ()) if model.target != RESNET else ():
        try:
            _try(network, model, classes, model.num_classes or classes, (in_channels, pixels, pixels))
        except ConfigError as error:
            raise ConfigError(f"data.resolution={show(data.resolution)}: {error}") from error


def _own_network(model: Model, classes: int) -> nn.Module:
    key = f"model._target_={model.target}"
    kind = locate(model.target, "model._target_")
    options = {**({"num_classes": classes} if _takes_classes(kind) else {}), **model.args}
    try:
        network = kind(**options)
    except Exception as error:  # whatever the user's class raises
        called = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise ConfigError(f"{key}: called with ({called}), raises {_in_a_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{key}: gives a {type(network).__name__}, must give a torch.nn.Module")
    return network


def _takes_classes(kind: Any) -> bool:
    """Whether a class or function of the user's takes num_classes; another gives a network of a fixed number of outputs."""
    takes = parameters_of(kind)
    return takes is None or "num_classes" in takes


def _try(network: nn.Module, model: Model, least: int, classes: int, shape: tuple[int, int, int]) -> None:
    """Hold what an own network answers to two images against what training needs. Raises ConfigError, one line.

    least: classes of the data. classes: outputs that it was asked for, which one that takes no num_classes must give exactly: a
    thousand outputs for two classes would be an oversight.
    """
    key = f"model._target_={model.target}"
    images = torch.zeros(TRIED, *shape).contiguous(memory_format=torch.channels_last)
    for train in (False, True):
        when = "in train mode" if train else "in eval mode"
        try:
            if any(is_lazy(p) for p in (*network.parameters(), *network.buffers())):
                with torch.no_grad():
                    network.eval()(images)  # gives lazy layers their shapes
                network.train()
            outputs = _outputs(network, images, train=train)
        except Exception as error:  # whatever the user's code raises
            larger = _taken_size(model, classes, shape)
            remedy = (
                f"; it takes {larger}x{larger} pixels, which data.image_size={larger} gives with data=folder" if larger else ""
            )
            line = f"{key}: fails {when} on images {tuple(images.shape)}: {_in_a_line(error)}{remedy}"
            raise ConfigError(line) from error
        if not isinstance(outputs, Tensor):
            what = f"a {type(outputs).__name__}" + (f" of {len(outputs)}" if isinstance(outputs, list | tuple) else "")
            remedy = "return the logits alone, from a class around it for instance"
            raise ConfigError(f"{key}: gives {what} {when}, must give logits (N, classes): {remedy}")
        fixed = not _takes_classes(locate(model.target, "model._target_"))
        few_or_many = outputs.ndim == 2 and (outputs.shape[1] != classes if fixed else outputs.shape[1] < least)
        if outputs.ndim != 2 or len(outputs) != TRIED or few_or_many:
            found, wanted = tuple(outputs.shape), (TRIED, classes if fixed else least)
            why = "; it takes no num_classes (+model.args.<name>=… gives it values of its own)" if fixed and few_or_many else ""
            raise ConfigError(f"{key}: gives {found} {when} for images {tuple(images.shape)}, must give logits {wanted}{why}")
        if not outputs.is_floating_point():
            raise ConfigError(f"{key}: gives {outputs.dtype} {when}, must give floating-point logits")
        if train and not outputs.requires_grad:
            none = "it has no parameter with requires_grad" if count_trained(network) == 0 else "they carry no gradient"
            raise ConfigError(f"{key}: its logits depend on no trainable parameter ({none}): there is nothing to train")


def _taken_size(model: Model, classes: int, shape: tuple[int, int, int]) -> int | None:
    """A size of larger images which an own network takes that fails on images of `shape`; None where it takes none tried."""
    for size in LARGER:
        if size <= shape[-1]:
            continue
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                _own_network(model, classes).eval()(torch.zeros(TRIED, shape[0], size, size))
        except Exception:  # whatever the user's code raises
            continue
        return size
    return None


def _outputs(network: nn.Module, images: Tensor, *, train: bool) -> Any:
    """What a copy of the network answers; the network itself and the state of the random numbers stay as they are."""
    with torch.set_grad_enabled(train), torch.random.fork_rng(devices=[]):
        return copy.deepcopy(network).train(train)(images)


def _in_a_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
