"""The few pictures of a run: augmented training images, the most confident mistakes, the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor
from torchvision.utils import make_grid

from resnet_lit.callbacks.loggers import RunLogger
from resnet_lit.printable import printable

SHOWN = 32  # images in a grid
AUGMENTED = "images/augmented"
# The width that TensorBoard's page Images has for a picture, in pixels. Wider ones lose some of theirs, and with them their text.
CARD = 340


class ShowImages(Callback):
    """Puts a grid of augmented training images into TensorBoard before the first step."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: tuple[Tensor, Tensor], batch_idx: int
    ) -> None:
        if trainer.global_step == 0 and batch_idx == 0 and trainer.is_global_zero:
            for logger in trainer.loggers:
                if isinstance(logger, RunLogger):
                    shown = batch[0][:SHOWN].cpu().float().round().to(torch.uint8)  # resized images are not rounded
                    logger.image(AUGMENTED, make_grid(shown, nrow=8, padding=1), 0)


def captioned_grid(images: Tensor, captions: Sequence[str], columns: int = 4, zoom: int = 2) -> Tensor:
    """images (N, C, H, W) uint8 with a caption under each -> one picture (3, height, width) uint8."""
    font = ImageFont.load_default(10)
    _, _, height, width = images.shape
    cell_w, cell_h = max(width * zoom, CARD // columns), height * zoom + 30
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (cell_w * columns, max(cell_h * rows, 1)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = number % columns * cell_w, number // columns * cell_h
        picture = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
        sheet.paste(picture, (x + (cell_w - width * zoom) // 2, y))
        text = "\n".join(map(printable, caption.split("\n")))
        draw.multiline_text((x + cell_w // 2, y + height * zoom + 2), text, "black", font, anchor="ma", align="center")
    return pil_to_tensor(sheet)


def confusion_picture(counts: Tensor, classes: Sequence[str]) -> Tensor:
    """Confusion matrix (classes, classes) int64, rows = truth, as a picture (3, height, width) uint8 with every count in it."""
    font, margin = ImageFont.load_default(10), 80
    cell = max(26, (CARD - margin) // len(classes))
    size = margin + cell * len(classes)
    sheet = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(sheet)
    share = counts / counts.sum(1, keepdim=True).clamp(min=1)
    draw.text((6, 6), "rows: truth\ncolumns: answer", "black", font)
    names = [printable(name)[:11] for name in classes]
    for row, name in enumerate(names):
        draw.text((margin - 6, margin + row * cell + cell // 2), name, "black", font, anchor="rm")
        label = Image.new("RGB", (margin - 12, 16), "white")
        ImageDraw.Draw(label).text((0, 0), name, "black", font)
        sheet.paste(label.rotate(90, expand=True), (margin + row * cell + cell // 2 - 8, 6))
        for column in range(len(classes)):
            shade = float(share[row, column]) ** 0.5  # the root makes rare mistakes visible
            colour = (70, 130, 180) if row == column else (205, 92, 92)
            fill = tuple(round(255 - (255 - c) * shade) for c in colour)
            x, y = margin + column * cell, margin + row * cell
            draw.rectangle((x, y, x + cell - 2, y + cell - 2), fill)
            if counts[row, column]:
                text = "white" if shade > 0.75 else "black"
                draw.text((x + cell // 2, y + cell // 2), str(int(counts[row, column])), text, font, anchor="mm")
    return pil_to_tensor(sheet)


def most_confident_mistakes(logits: Tensor, targets: Tensor, n: int = 24) -> Tensor:
    """Indices of the wrong answers with the highest probability, highest first. logits (N, classes), targets (N,) int64."""
    confidence, answers = torch.softmax(logits, 1).max(1)
    wrong = (answers != targets).nonzero().flatten()
    return wrong[confidence[wrong].argsort(descending=True, stable=True)[:n]]
