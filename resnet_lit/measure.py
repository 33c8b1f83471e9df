"""When training is over: validate once more where that is due, read the test set, write down its answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer
from torchmetrics.functional.classification import multiclass_confusion_matrix

from resnet_lit.callbacks.best import copied, same_weights
from resnet_lit.callbacks.checkpoint import Checkpoints
from resnet_lit.callbacks.images import captioned_grid, confusion_picture, most_confident_mistakes
from resnet_lit.callbacks.loggers import RunLogger
from resnet_lit.callbacks.metrics import Metrics
from resnet_lit.data.classes import output_names
from resnet_lit.datamodule import ImageData
from resnet_lit.module import LitClassifier
from resnet_lit.printable import printable
from resnet_lit.record import OUTPUTS, Record
from resnet_lit.schema import Config

RESULTS = ("test/accuracy", "test/accuracy_last", "test/loss", "val/accuracy", "train/accuracy")


def result_names(config: Config) -> list[str]:
    """The metrics that loggers get as a run's result, where it has them."""
    return [*RESULTS, "test/accuracy_tta"] if config.evaluation.tta != "none" else [*RESULTS]


def validate_at_the_end(trainer: Trainer, module: LitClassifier, data: ImageData, metrics: Metrics, saver: Checkpoints) -> None:
    """A run that stopped between two validations, or whose callbacks changed the weights since, validates once more: its last
    weights are among those chosen from.
    """
    evaluated = saver.best is not None and metrics.evaluated_at == trainer.global_step
    if saver.chooser.monitor is None or (evaluated and saver.chooser.was_evaluated(module)):
        return
    trainer.validate(module, datamodule=data, verbose=False)
    saver.chooser.evaluated_at_the_end = True  # a callback may exchange weights for every evaluation: one at the end is enough
    saver.save_last(trainer)


def measure(
    trainer: Trainer, module: LitClassifier, data: ImageData, metrics: Metrics, saver: Checkpoints, outcome: Record, folder: Path
) -> None:
    """Read the test set: with the last weights, and with the chosen ones where they are others."""
    results = {
        f"train/{name}": metrics.latest[f"train/{name}_epoch"]
        for name in ("loss", "accuracy")
        if f"train/{name}_epoch" in metrics.latest
    }
    saver.under_test = copied(module) if saver.chooser.exchanged else None
    tta, last = module.tta, None
    if saver.best is not None and not same_weights(saver.best["state_dict"], saver.under_test or module.state_dict()):
        module.tta = "none"
        last = _test(trainer, module, data, metrics)
        module.tta = tta
        saver.under_test = saver.best["state_dict"]
        module.load_state_dict(saver.under_test)
    if tta != "none" and data.chooses_on == "val":
        module.tested = f"validation images with TTA ({tta})"
        trainer.test(module, dataloaders=data.val_dataloader(), verbose=False)
        results |= metrics.read_tta(module, "val")
        module.tested = "test set"
    chosen = _test(trainer, module, data, metrics)
    results |= chosen
    for name in ("accuracy", "loss"):
        results[f"test/{name}_last"] = (last or chosen)[f"test/{name}"]
    if saver.best is not None:
        results.update({key: value for key, value in saver.best["metrics"].items() if key.startswith("val/")})
        outcome["best"] = {"epoch": saver.best["epoch"], "step": saver.best["step"], "chosen_on": data.chooses_on}
    else:
        outcome["best"] = {"epoch": trainer.current_epoch, "step": trainer.global_step, "chosen_on": None}
    outcome["metrics"], outcome["tta"] = results, None if tta == "none" else tta
    _gather_outputs(trainer, module)
    if trainer.is_global_zero:
        _write_outputs(trainer, module, data, metrics, folder)
        step = trainer.global_step
        test = {name: results[name] for name in ("test/loss", "test/accuracy")}
        is_new = data.config.protocol != "paper"  # there they are a curve already
        if is_new:
            metrics.append({"step": step, "epoch": trainer.current_epoch, **test})
        for logger in trainer.loggers:
            if is_new:
                logger.log_metrics(test, step)
            if isinstance(logger, RunLogger):
                logger.finish({f"result/{name}": results[name] for name in result_names(data.config) if name in results}, step)


def _test(trainer: Trainer, module: LitClassifier, data: ImageData, metrics: Metrics) -> dict[str, float]:
    trainer.test(module, datamodule=data, verbose=False)
    found = metrics.read_evaluation(trainer, module, "test")
    return found if module.tta == "none" else found | metrics.read_tta(module, "test")


def _gather_outputs(trainer: Trainer, module: LitClassifier) -> None:
    """Bring the answers of all processes together, in the order of the test set: each had a share of every batch."""
    if trainer.world_size == 1:
        return
    shares: list[list[tuple[torch.Tensor, ...]]] = [[] for _ in range(trainer.world_size)]
    torch.distributed.all_gather_object(shares, module.outputs)
    batches = max(map(len, shares))
    module.outputs = [share[batch] for batch in range(batches) for share in shares if batch < len(share)]


def _write_outputs(trainer: Trainer, module: LitClassifier, data: ImageData, metrics: Metrics, folder: Path) -> None:
    """test_outputs.npz: targets, logits (with TTA too), the most confident mistakes; the same as pictures for TensorBoard."""
    targets, logits, *with_tta = (torch.cat(part) for part in zip(*module.outputs, strict=True))
    mistakes = most_confident_mistakes(logits, targets)
    images = torch.from_numpy(data.source.test_images[np.asarray(data.test_indices)[mistakes.numpy()]])
    metrics.hold()
    temporary = folder / f".{OUTPUTS}"
    with temporary.open("wb") as file:
        parts = {"targets": targets, "logits": logits, "mistakes": mistakes, "mistake_images": images}
        if with_tta:
            parts["logits_tta"] = with_tta[0]
        np.savez_compressed(file, **{name: part.numpy() for name, part in parts.items()})  # type: ignore[arg-type]
    metrics.hold()
    temporary.replace(folder / OUTPUTS)
    classes = [*map(printable, output_names(data.source.classes, logits.shape[1]))]
    probability, answers = torch.softmax(logits, 1).max(1)
    captions = [f"{classes[answers[i]]} {probability[i]:.1%}\nis {classes[targets[i]]}" for i in mistakes.tolist()]
    counts = multiclass_confusion_matrix(answers, targets, num_classes=logits.shape[1])
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            if len(mistakes):
                logger.image("images/mistakes", captioned_grid(images, captions), trainer.global_step)
            if len(classes) <= 50:
                logger.image("images/confusion_matrix", confusion_picture(counts, classes), trainer.global_step)
