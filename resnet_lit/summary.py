"""The layers of a network with their shapes, parameters and multiply-adds; nothing is trained, torch is not imported.

python -m resnet_lit.summary +experiment=model1
"""

from __future__ import annotations

import sys

from resnet_lit.command_line import read
from resnet_lit.config import compose
from resnet_lit.length import Length, run_length
from resnet_lit.models.cost import count_parameters, table
from resnet_lit.resolution import sizes
from resnet_lit.schema import Config, architecture
from resnet_lit.sections import CIFAR10_IMAGES, CIFAR10_VALIDATION, RESNET
from resnet_lit.typed import ConfigError, Refused
from resnet_lit.work import multiply_adds, training_petaflops


def summary(config: Config) -> str:
    """The layer table of the config's network, its totals and its budget. Raises ConfigError for a class that is not ours."""
    model = config.model
    if model.target != RESNET:
        raise ConfigError(f"model._target_={model.target}: only resnet_lit's own network can be counted without building it")
    plain = architecture(model, image_size=config.data.image_size or 32)
    budget = "no budget (model.max_parameters=null)"
    if model.max_parameters is not None:
        parameters = count_parameters(plain)
        budget = f"{parameters:,} of {model.max_parameters:,} parameters ({parameters / model.max_parameters:.1%} of the budget)"
    return "\n".join([model.name, table(plain), f"Budget: {budget}", *_training(config)])


def _training(config: Config) -> list[str]:
    """What training costs, where the config alone says how many images train: of CIFAR-10."""
    full = config.data.image_size or 32
    macs = multiply_adds(config.model, None, sizes(config.data, full))
    lines = [f"Training images of {size}x{size} pixels: {macs[size]:,} multiply-adds" for size in macs if size != full]
    if (known := planned_training(config)) is not None:
        petaflops, length = known
        lines.append(
            f"Training: {petaflops:.3g} petaFLOPs (6 x multiply-adds x {length.epochs:g} epochs of {length.images:,} images)"
        )
    return lines


def planned_training(config: Config) -> tuple[float, Length] | None:
    """petaFLOPs and length of a run on CIFAR-10; None for other data, for an open end, and for a class that is not ours."""
    full, data = config.data.image_size or 32, config.data
    has_end = config.trainer.max_epochs is not None or config.trainer.max_steps > 0
    if data.name != "cifar10" or not has_end or config.model.target != RESNET:
        return None
    images = CIFAR10_IMAGES - (CIFAR10_VALIDATION if config.validation is None else config.validation)
    length = run_length(config, min(images, data.limit_train or images))
    return training_petaflops(config, multiply_adds(config.model, None, sizes(data, full)), full, length), length


def main() -> None:
    """The command."""
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & {*words}:
        print(__doc__)
        sys.exit(0)
    try:
        line = read(words, "summary")
        print(summary(compose(line.overrides, line.source)))
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
