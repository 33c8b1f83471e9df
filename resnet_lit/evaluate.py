"""How well a trained run answers on any labelled images: its own test set, or other data with the same classes.

python -m resnet_lit.evaluate run=outputs/model4/<run>
python -m resnet_lit.evaluate run=outputs/model4/<run> data=folder data.root=my_photos part=all
python -m resnet_lit.evaluate run=outputs/model4/<run> data.root=cifar-10-python.tar.gz --last

data=…, data.root=… and the other values of data are those of resnet_lit.train; what is not said is as the run had it.
part=test|validation|train|all (default test); --last, the last weights instead of the chosen ones.

Prints accuracy with its interval, loss, calibration error and each class, and writes evaluation.json, outputs.npz (targets and
logits, in the data's order), confusion_matrix.png and evaluation.html (a page: confusion matrix, classes, calibration, the most
confident mistakes as pictures) to <run>/evaluations/<data>-<part>/. The same question again is answered from there.
Exit status: 0, or 2 where nothing could be done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from resnet_lit import record as records
from resnet_lit.config import load
from resnet_lit.escaping import rich_text
from resnet_lit.printable import printable
from resnet_lit.run import config_of
from resnet_lit.run_path import folder_and_weights
from resnet_lit.schema import Config
from resnet_lit.typed import ConfigError, Refused

PARTS = ("test", "validation", "train", "all")
RESULT, OUTPUTS, PICTURE, EVALUATION = "evaluation.json", "outputs.npz", "confusion_matrix.png", "evaluation.html"


def main() -> None:
    """The command."""
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & {*words}:
        print(__doc__)
        sys.exit(0)
    try:
        run, part, last, rest = _parse(words)
        folder, found = evaluate(run, rest, part=part, last=last)
        print(report(found))
        print(printable(f"written to {folder}"))
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _parse(words: list[str]) -> tuple[str, str, bool, list[str]]:
    run, part, last, rest = "", "test", False, []
    for word in words:
        name, _, value = word.partition("=")
        if name == "run":
            run = value
        elif name == "part":
            part = value
        elif word == "--last":
            last = True
        elif name == "data" or name.startswith("data."):
            rest.append(word)
        else:
            raise ConfigError(f"{word}: no such word here (python -m resnet_lit.evaluate --help)")
    if not run:
        raise ConfigError("run=: say which run is evaluated (run=outputs/<experiment>/<run>)")
    if part not in PARTS:
        raise ConfigError(f"part={part}: must be one of {', '.join(PARTS)}")
    return run, part, last, rest


def evaluate(run: str | Path, words: list[str], *, part: str = "test", last: bool = False) -> tuple[Path, dict[str, Any]]:
    """Answer for `part` of the data that the run's config and `words` name; the folder with the results, and evaluation.json.

    run: its folder, or a checkpoint in it. Raises Refused: no such run, data that cannot be read, classes that the run lacks.
    """
    run, last = folder_and_weights(run, last=last)
    config = data_config(config_of(run, key="run"), words)
    from resnet_lit.trained import open_run  # torch and Lightning: seconds

    trained = open_run(run, last=last)
    if config.data.name == "folder" and config.data.image_size is None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, image_size=trained.image_size))
    images, targets, about = _images(config, part)
    labels = _labels(trained.classes, about.pop("classes"), config)
    if images.shape[-2:] != (trained.image_size, trained.image_size):
        raise ConfigError(
            f"data: images of {images.shape[-2]}x{images.shape[-1]} pixels, the run was trained on "
            f"{trained.image_size}x{trained.image_size} (try data.image_size={trained.image_size})"
        )
    name = f"{about['variant']}-{about['hash'][:10]}-{part}{'-last' if last else ''}"
    folder = run / "evaluations" / name
    asked = {"run": str(run), "checkpoint": trained.checkpoint.name, "sha256": _sha256(trained.checkpoint), "data": about}
    if (known := _known(folder / RESULT, asked)) is not None and (folder / EVALUATION).exists():
        return folder, known

    import torch

    from resnet_lit.reporting.answers import Answers

    batches = (torch.from_numpy(images[start : start + 500]) for start in range(0, len(images), 500))
    logits = torch.cat(list(trained.logits(batches))).numpy()
    answers = Answers(logits, labels[targets], trained.classes)
    found = {**asked, "evaluated": records.now(), "git": records.git(), **as_data(answers)}
    _write(folder, found, answers, images)
    return folder, found


def data_config(config: Config, words: list[str]) -> Config:
    """The run's config with the data that `words` name; what they leave open is as the run had it, unless they choose a group."""
    given = load(*words).data
    said = {word.partition("=")[0].lstrip("+").removeprefix("data.") for word in words}
    if "data" in said:
        return dataclasses.replace(config, data=given)
    changed = {name: getattr(given, name) for name in said}
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **changed))


def _images(config: Config, part: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Images (N, 3, H, W) uint8, targets (N,) int64 and what is known of them."""
    from resnet_lit.datamodule import ImageData

    data = ImageData(config)
    source = data.source
    train, test = (source.train_images, source.train_labels), (source.test_images, source.test_labels)
    if part == "all":
        images, targets = (np.concatenate(both) for both in zip(train, test, strict=True))
    else:
        indices = {"test": data.test_indices, "validation": data.validation_indices, "train": data.train_indices}[part]
        if not len(indices):
            raise ConfigError(f"part={part}: the run held nothing out (protocol={config.protocol})")
        images, targets = (array[np.asarray(indices)] for array in (test if part == "test" else train))
    about = {"variant": source.variant, "hash": source.hash, "part": part, "images": len(images), "classes": source.classes}
    return images, targets, about


def _labels(known: tuple[str, ...], classes: tuple[str, ...], config: Config) -> np.ndarray:
    """(classes,) int64: the run's number of each class of the data, by name. Raises ConfigError where it knows one not."""
    if strange := [name for name in classes if name not in known]:
        raise ConfigError(
            f"data.root={config.data.root}: its class {strange[0]} is none that the run knows ({', '.join(known[:10])}"
            f"{', …' if len(known) > 10 else ''})"
        )
    return np.array([known.index(name) for name in classes])


def _known(path: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """What was found out before, by the same weights for the same images."""
    try:
        found = json.loads(path.read_text())
        same = all(found[key] == asked[key] for key in ("checkpoint", "sha256", "data"))
        return dict(found) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def as_data(answers: Any) -> dict[str, Any]:
    """The numbers as plain data, accuracy in [0, 1]."""
    low, high = answers.interval
    return {
        "accuracy": answers.accuracy,
        "interval": [low, high],
        "loss": answers.loss,
        "calibration_error": answers.calibration_error,
        "classes": [
            {"name": name, "images": images, "accuracy": share, "taken_for": other, "how_often": often}
            for name, images, share, other, often in answers.per_class()
        ],
        "confusion": answers.confusion.tolist(),
    }


def _write(folder: Path, found: dict[str, Any], answers: Any, images: np.ndarray) -> None:
    import torch
    from torchvision.io import write_png

    from resnet_lit.callbacks.images import confusion_picture
    from resnet_lit.reporting.page import write_evaluation

    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / OUTPUTS, targets=answers.targets, logits=answers.logits)
    if len(answers.classes) <= 50:
        picture = confusion_picture(torch.from_numpy(answers.confusion), list(answers.classes))
        write_png(picture, str(folder / PICTURE))
    for trouble in write_evaluation(found, answers, images, folder).troubles:
        print(printable(trouble), file=sys.stderr)
    records.write_text(folder / RESULT, json.dumps(found, indent=1) + "\n")


def report(found: dict[str, Any]) -> str:
    """What the command prints."""
    data, (low, high) = found["data"], found["interval"]
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("class", "images", "accuracy", "most often taken for"):
        rows.add_column(name, justify="right" if name in ("images", "accuracy") else "left")
    for row in found["classes"]:
        other = f"{row['taken_for']} ({row['how_often']:.1%})" if row["taken_for"] else ""
        rows.add_row(rich_text(row["name"]), f"{row['images']:,}", f"{row['accuracy']:.2%}", rich_text(other))
    console = Console(width=None if sys.stdout.isatty() else 200)
    with console.capture() as capture:
        console.print(rows)
    return "\n".join(
        [
            printable(f"{found['run']}, {found['checkpoint']}"),
            f"{data['variant']} {data['hash'][:10]}, {data['part']}: {data['images']:,} images",
            f"accuracy {found['accuracy']:.2%}  (95 % interval {low:.2%} to {high:.2%}, for other images of the same kind)",
            f"loss {found['loss']:.4f}, expected calibration error {found['calibration_error']:.2%}",
            "",
            "\n".join(line.rstrip() for line in capture.get().splitlines()),
        ]
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
