"""How well a trained run answers on any labelled images: its own test set, or other data with the same classes.

python -m resnet_lit.evaluate run=outputs/model4/<run>
python -m resnet_lit.evaluate run=outputs/model4/<run> data=folder data.root=my_photos part=all
python -m resnet_lit.evaluate run=outputs/model4/<run> data.root=cifar-10-python.tar.gz --last

data=…, data.root=… and the other values of data are those of resnet_lit.train; what is not said is as the run had it.
evaluation.tta=flip|6: with test-time augmentation too (default: as the run has it), beside the single view.
Computed in float32, whatever trainer.precision the run had: after bf16-mixed a few answers may differ from those of its own test.
part=test|validation|train|all (default test); --last, the last weights instead of the chosen ones. Data that hold only some of
the run's classes suffice, one class too.

Prints accuracy with its interval, loss, calibration error and each class, and writes evaluation.json, outputs.npz (targets and
logits, in the data's order), confusion_matrix.png and evaluation.html (a page: confusion matrix, classes, calibration, the most
confident mistakes as pictures) to <run>/evaluations/<data>-<part>/, or to <folder>/<data>-<part>/ with out=<folder>. The same
question again is answered from there. Where nothing can be written the numbers are printed all the same, and a line says so.
Exit status: 0, or 2 where nothing could be done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from resnet_lit import record as records
from resnet_lit.config import load
from resnet_lit.durable import write_text
from resnet_lit.escaping import rich_text
from resnet_lit.formatting import percent
from resnet_lit.printable import printable
from resnet_lit.run import config_of
from resnet_lit.run_path import folder_and_weights, is_run
from resnet_lit.same_run import changes
from resnet_lit.schema import Config
from resnet_lit.typed import ConfigError, Refused

log = logging.getLogger("resnet_lit")

PARTS = ("test", "validation", "train", "all")
OF_VIEWS = ("accuracy", "interval", "loss", "calibration_error")  # what is said of the mean over several views
RESULT, OUTPUTS, PICTURE, EVALUATION = "evaluation.json", "outputs.npz", "confusion_matrix.png", "evaluation.html"


def main() -> None:
    """The command."""
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & {*words}:
        print(__doc__)
        sys.exit(0)
    try:
        run, part, last, out, rest = _parse(words)
        folder, found = evaluate(run, rest, part=part, last=last, out=out)
        print(report(found))
        if folder is not None:
            print(printable(f"written to {folder}"))
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _parse(words: list[str]) -> tuple[str, str, bool, str | None, list[str]]:
    """Run, part, whether the last weights are meant, where results are written, and what is said of data and evaluation."""
    run, part, last, out, rest = "", "test", False, None, []
    for word in words:
        name, _, value = word.partition("=")
        if name == "run":
            if run and run != value:
                raise ConfigError(f"{word}: one run at a time; leave out run={run}")
            run = value
        elif name == "part":
            part = value
        elif name == "out" and value:
            out = value
        elif word == "--last":
            last = True
        elif name in ("data", "evaluation.tta") or name.startswith("data."):
            rest.append(word)
        else:
            path = value if name in ("resume", "weights", "checkpoint", "ckpt_path", "model") else word
            meant = f"did you mean run={path}?" if is_run(path) else "unknown argument (python -m resnet_lit.evaluate --help)"
            raise ConfigError(f"{word}: {meant}")
    if not run:
        raise ConfigError("run=: name the run to evaluate (run=outputs/<experiment>/<run>)")
    if part not in PARTS:
        raise ConfigError(f"part={part}: must be one of {', '.join(PARTS)}")
    return run, part, last, out, rest


def evaluate(
    run: str | Path, words: list[str], *, part: str = "test", last: bool = False, out: str | Path | None = None
) -> tuple[Path | None, dict[str, Any]]:
    """Answer for `part` of the data that the run's config and `words` name; the folder with the results, and evaluation.json.

    words: overrides of data and of evaluation.tta.

    run: its folder, or a checkpoint in it. out: where the folder with the results is made (default <run>/evaluations). The folder
    is None where it could not be written, which is logged. Raises Refused: no such run, data that cannot be read, classes that
    the run lacks.
    """
    run, last = folder_and_weights(run, last=last)
    said = config_of(run, key="run")
    from resnet_lit.trained import open_run  # torch and Lightning: seconds

    trained = open_run(run, last=last)
    if changed := changes(trained.module.content["config"], said):
        raise ConfigError(f"run={run}: its config.yaml was changed since it was trained: {changed}; change it back")
    config = data_config(said, words)
    if config.data.name == "folder" and config.data.image_size is None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, image_size=trained.image_size))
    images, targets, about, notes = _images(config, part)
    if about["hash"] != trained.module.content["data"]["hash"]:  # of the run's own data its log has told
        for note in notes:
            log.warning("%s", note)
    labels = _labels(trained.classes, about.pop("classes"), config)
    if images.shape[-2:] != (trained.image_size, trained.image_size):
        raise ConfigError(
            f"data: images of {images.shape[-2]}x{images.shape[-1]} pixels, the run was trained on "
            f"{trained.image_size}x{trained.image_size} (try data.image_size={trained.image_size})"
        )
    tta = config.evaluation.tta
    views = "" if tta == "none" else f"-tta-{tta}"
    name = f"{about['variant']}-{about['hash'][:10]}-{part}{'-last' if last else ''}{views}"
    folder = (run / "evaluations" if out is None else Path(out).expanduser()) / name
    asked = {"run": str(run), "checkpoint": trained.checkpoint.name, "sha256": _sha256(trained.checkpoint), "data": about}
    if (known := _known(folder / RESULT, asked)) is not None and (folder / EVALUATION).exists():
        return folder, known

    import torch

    from resnet_lit.reporting.answers import Answers

    batches = (torch.from_numpy(images[start : start + 500]) for start in range(0, len(images), 500))
    pairs = zip(*trained.logits_of_views(batches, tta), strict=True)
    answers, of_views = (Answers(torch.cat(part).numpy(), labels[targets], trained.classes) for part in pairs)
    found = {**asked, "evaluated": records.now(), "git": records.git(), **as_data(answers)}
    if tta != "none":
        found["tta"] = {"name": tta, **{key: value for key, value in as_data(of_views).items() if key in OF_VIEWS}}
    found["digest"] = records.content_digest(found)
    try:
        _write(folder, found, answers, None if tta == "none" else of_views.logits, images)
    except OSError as error:
        log.warning("%s: cannot be written (%s); out=<folder> writes it elsewhere", folder / RESULT, error.strerror or error)
        return None, found
    return folder, found


def data_config(config: Config, words: list[str]) -> Config:
    """The run's config with the data and the evaluation.tta that `words` name; what they leave open is as the run had it, unless
    they choose a group of data.
    """
    loaded = load(*words)
    given = loaded.data
    if any(word.startswith("evaluation.") for word in words):
        config = dataclasses.replace(config, evaluation=loaded.evaluation)
        words = [word for word in words if not word.startswith("evaluation.")]
    said = {word.partition("=")[0].lstrip("+").removeprefix("data.") for word in words}
    if "data" in said:
        return dataclasses.replace(config, data=given)
    changed = {name: getattr(given, name) for name in said}
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **changed))


def _images(config: Config, part: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any], list[str]]:
    """Images (N, 3, H, W) uint8, targets (N,) int64, what is known of them, and what a user should know of how they are read."""
    from resnet_lit.datamodule import ImageData

    if part in ("test", "all"):  # who trains and who validates is of no concern, so nothing that is said of it can be wrong
        limit_test = config.data.limit_test if part == "test" else None
        data = dataclasses.replace(config.data, validation=0, limit_train=None, limit_validation=None, limit_test=limit_test)
        config = dataclasses.replace(config, data=data)
    held = ImageData(config, for_training=False)
    source = held.source
    notes = [f"data: not read: {'; '.join(source.left_out)}"] if source.left_out else []
    if part == "all":
        parts = [name for name in ("train", "test", "validation") if held.arrays(name)[0] is not None]
        images, targets = (np.concatenate(both) for both in zip(*map(held.arrays, parts), strict=True))
    else:
        indices = {"test": held.test_indices, "validation": held.validation_indices, "train": held.train_indices}[part]
        images, targets = (
            array[np.asarray(indices)] for array in held.arrays(held.validates_on if part == "validation" else part)
        )
        if part == "test" and source.test_origin == "held out":
            everything = len(source.train_labels) + len(source.test_labels)
            notes.append(f"data: hold no test part: {len(images):,} of {everything:,} images are taken (part=all takes all)")
    if not len(images):
        raise ConfigError(f"part={part}: holds no images (protocol={config.protocol}; try part=all)")
    about = {"variant": source.variant, "hash": source.hash, "part": part, "images": len(images), "classes": source.classes}
    return images, targets, about, notes


def _labels(known: tuple[str, ...], classes: tuple[str, ...], config: Config) -> np.ndarray:
    """(classes,) int64: the run's number of each class of the data, by name. Raises ConfigError where it knows one not."""
    if strange := [name for name in classes if name not in known]:
        meant = [name for name in known if name.casefold() == strange[0].casefold()]
        few = f"{', '.join(known[:10])}{', …' if len(known) > 10 else ''}"
        raise ConfigError(
            printable(
                f"data.root={config.data.root}: its class {strange[0]} is not a class of the run "
                f"({f'did you mean {meant[0]}?' if meant else few})"
            )
        )
    return np.array([known.index(name) for name in classes])


def _known(path: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """What was found out before, by the same weights for the same images; None where the file is not as it was written."""
    try:
        found = json.loads(path.read_text())
        same = all(found[key] == asked[key] for key in ("checkpoint", "sha256", "data"))
        if same and found.get("digest") not in (None, records.content_digest(found)):
            print(f"{path}: was changed after it was written (the digest does not match): evaluated again", file=sys.stderr)
            return None
        return dict(found) if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
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
        "answers": list(answers.classes),
        "without_images": [name for name, row in zip(answers.classes, answers.confusion, strict=True) if not row.sum()],
    }


def _write(folder: Path, found: dict[str, Any], answers: Any, logits_tta: np.ndarray | None, images: np.ndarray) -> None:
    import torch
    from torchvision.io import encode_png

    from resnet_lit.callbacks.images import confusion_picture
    from resnet_lit.reporting.page import write_evaluation

    folder.mkdir(parents=True, exist_ok=True)
    outputs: dict[str, Any] = {"targets": answers.targets, "logits": answers.logits}
    if logits_tta is not None:
        outputs["logits_tta"] = logits_tta
    np.savez_compressed(folder / OUTPUTS, **outputs)
    if len(answers.classes) <= 50:
        picture = confusion_picture(torch.from_numpy(answers.confusion), list(answers.classes))
        (folder / PICTURE).write_bytes(encode_png(picture).numpy().tobytes())
    for trouble in write_evaluation(found, answers, images, folder).troubles:
        print(printable(trouble), file=sys.stderr)
    write_text(folder / RESULT, json.dumps(found, indent=1) + "\n")


def report(found: dict[str, Any]) -> str:
    """What the command prints."""
    data, (low, high) = found["data"], found["interval"]
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("class", "images", "accuracy", "most often taken for"):
        rows.add_column(name, justify="right" if name in ("images", "accuracy") else "left")
    for row in found["classes"]:
        other = f"{row['taken_for']} ({percent(row['how_often'], 1)})" if row["taken_for"] else ""
        rows.add_row(rich_text(row["name"]), f"{row['images']:,}", percent(row["accuracy"]), rich_text(other))
    console = Console(width=None if sys.stdout.isatty() else 200)
    with console.capture() as capture:
        console.print(rows)
    return "\n".join(
        [
            printable(f"{found['run']}, {found['checkpoint']}"),
            f"{data['variant']} {data['hash'][:10]}, {data['part']}: {data['images']:,} images",
            f"accuracy {percent(found['accuracy'])}  (95% interval {percent(low)} to {percent(high)}, "
            "for other images of the same kind)",
            f"loss {found['loss']:.4f}, expected calibration error {percent(found['calibration_error'])}",
            *_with_tta(found),
            *(["not verified: written by an earlier version, without a digest"] if "digest" not in found else []),
            "",
            "\n".join(line.rstrip() for line in capture.get().splitlines()),
            *_of_few(found),
        ]
    )


def _with_tta(found: dict[str, Any]) -> list[str]:
    """The line of an evaluation with test-time augmentation."""
    if "tta" not in found:
        return []
    views, (low, high) = found["tta"], found["tta"]["interval"]
    return [f"accuracy with TTA ({views['name']}) {percent(views['accuracy'])}  ({percent(low)} to {percent(high)})"]


def _of_few(found: dict[str, Any]) -> list[str]:
    """What else is printed where the data hold some of the run's classes alone: what one was taken for, and which are missing."""
    without = found.get("without_images", [])
    if not without:
        return []
    lines = [f"no images of {', '.join(without[:10])}{', …' if len(without) > 10 else ''}: accuracy n/a"]
    if len(found["classes"]) == 1:
        counts = np.array(found["confusion"]).sum(0).tolist()
        taken = sorted(zip(counts, found["answers"], strict=True), key=lambda pair: -pair[0])
        lines.insert(0, f"of {found['data']['images']:,} taken for: " + ", ".join(f"{name} {n:,}" for n, name in taken if n))
    return lines


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
