"""A trained run, ready to answer: the weights that its folder holds, and what they were trained on."""

from __future__ import annotations

from resnet_lit import lean  # noqa: F401

# isort: split
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from resnet_lit.checkpoints import BEST, LAST
from resnet_lit.data.classes import output_names
from resnet_lit.data.tree import class_name
from resnet_lit.module import LitClassifier
from resnet_lit.record import FolderError
from resnet_lit.run_path import CHECKPOINTS, check_run, folder_and_weights
from resnet_lit.training import load_module
from resnet_lit.tta import TTA, averaged


@dataclass(frozen=True)
class Trained:
    """A classifier in eval mode, and the checkpoint that it is from.

    classes: a name for each output, of which there may be more than the data had classes (`model.num_classes`). image_size: the
    side of the square images it takes, in pixels.
    """

    module: LitClassifier
    checkpoint: Path
    classes: tuple[str, ...]
    image_size: int

    @torch.inference_mode()
    def logits(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """For each batch of images (N, 3, H, W) uint8 its logits (N, classes) float32, on the CPU."""
        for logits, _ in self.logits_of_views(batches, "none"):
            yield logits

    @torch.inference_mode()
    def logits_of_views(self, batches: Iterable[Tensor], tta: TTA) -> Iterator[tuple[Tensor, Tensor]]:
        """As `logits`, and the mean logits over the views of `tta`; the same where that is none."""
        for images in batches:
            images = images.to(self.module.device)
            logits = self.module(images).float()
            mean = logits if tta == "none" else averaged(self.module, images, logits, tta)
            yield logits.cpu(), mean.cpu()


def open_run(folder: str | Path, *, last: bool = False) -> Trained:
    """The chosen weights of the run in `folder`; the last ones where `last` says so, or where nothing was held out to choose by.

    folder: the run's, or the path of its best.ckpt or last.ckpt. On the GPU where there is one. Raises FolderError where the
    folder holds no weights that can be read, ConfigError as `folder_and_weights`.
    """
    folder, last = folder_and_weights(folder, last=last)
    check_run(folder, "run")
    checkpoints = folder / CHECKPOINTS
    names = (LAST,) if last else (BEST, LAST)
    path = next((checkpoints / name for name in names if (checkpoints / name).exists()), None)
    if path is None:
        wanted = " or ".join(f"checkpoints/{name}" for name in names)
        raise FolderError(f"run={folder}: holds no {wanted} (checkpoint.keep says what a run keeps; try checkpoint.keep=best)")
    try:
        module = load_module(path)
    except Exception as error:  # whatever a damaged zip or pickle raises
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise FolderError(f"{path}: cannot be read ({reason})") from error
    content = module.content
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.inference_mode():
        outputs = module(torch.zeros(1, *content["image_shape"])).shape[1]
    classes = tuple(map(class_name, output_names(content["classes"], outputs)))
    return Trained(module.to(device), path, classes, int(content["image_shape"][-1]))
