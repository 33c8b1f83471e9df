"""What the page of one run shows, and that of one evaluation: confusion, classes, calibration, mistakes, where the time went."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from resnet_lit.data.classes import output_names
from resnet_lit.formatting import duration, percent
from resnet_lit.reporting import bars, charts
from resnet_lit.reporting.answers import Answers
from resnet_lit.reporting.cells import Cell
from resnet_lit.reporting.charts import Chart, Column
from resnet_lit.reporting.curves import bands
from resnet_lit.reporting.plots import Group, curve_pair
from resnet_lit.reporting.runs import Damaged, Run

CLASSES = 50  # more are not drawn: a square could not be read
MISTAKES = 24
PARTS = {
    "data_wait": "waiting for data",
    "compute": "compute",
    "compile": "compiling",
    "logging": "logging",
    "checkpoint": "checkpoints",
    "evaluation": "evaluation",
}


@dataclass(frozen=True)
class Mistake:
    """A wrong answer as a picture: a data URI, what the network said and how surely, what it is, its place in the data."""

    picture: str
    said: str
    probability: float
    truth: str
    place: int


@dataclass(frozen=True)
class Shown:
    """The parts of a page about one set of answers."""

    groups: tuple[Group, ...]
    mistakes: tuple[Mistake, ...]
    troubles: tuple[str, ...] = ()


def of_run(run: Run) -> Shown:
    """Everything about one run that needs no other run."""
    cell = Cell(run.title, {}, (run,))
    accuracy, loss, troubles = bands([(run.title, cell)], ("validation", "test", "training"))
    found = [Group("Learning curves", "curves", "", tuple(curve_pair("curves", "", accuracy, loss)))]
    mistakes: tuple[Mistake, ...] = ()
    try:
        outputs = run.outputs()
    except Damaged as error:
        outputs = {}
        troubles.append(str(error))
    if outputs:
        answers = Answers(outputs["logits"], outputs["targets"], output_names(run.classes, outputs["logits"].shape[1]))
        found += of_answers(answers)
        if "mistakes" in outputs and "mistake_images" in outputs:
            mistakes = pictures(answers, outputs["mistakes"], outputs["mistake_images"])
    if run.timing.get("total"):
        found.append(Group("Where the time went", "time", "", (_time(run.timing),)))
    return Shown(tuple(group for group in found if group.charts), mistakes, tuple(troubles))


def of_answers(answers: Answers) -> list[Group]:
    """Confusion matrix, accuracy of each class, calibration."""
    found = []
    if len(answers.classes) <= CLASSES:
        drawn = (_confusion(answers), _classes_chart(answers))
        found.append(Group("Which classes are mistaken for which", "classes", "", drawn))
    found.append(Group("Can its confidence be trusted?", "calibration", "", (_calibration(answers), _confidence(answers))))
    return found


def _confusion(answers: Answers) -> Chart:
    counts = answers.confusion
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    rows = [
        {
            "row": truth,
            "column": said,
            "count": int(counts[i, j]),
            "share": float(share[i, j]),
            "shade": float(share[i, j]) ** 0.5,  # the root makes rare mistakes visible
            "kind": "good" if i == j else "bad",
            "text": str(counts[i, j]) if counts[i, j] else "",
        }
        for i, truth in enumerate(answers.classes)
        for j, said in enumerate(answers.classes)
    ]
    columns = (
        Column("row", "class"),
        Column("column", "predicted"),
        Column("count", "images", "count"),
        Column("share", "of the class", "share"),
    )
    caption = "Rows: the true class; columns: the prediction. Correct answers lie on the diagonal."
    step = 34 if len(answers.classes) <= 12 else 18
    return charts.heat_map(
        "confusion", "Confusion matrix", caption, rows, "predicted", "class", columns, angle=-50, step=step, font=10
    )


def _classes_chart(answers: Answers) -> Chart:
    rows = [
        {
            "label": name,
            "value": share,
            "text": percent(share, 1),
            "n": images,
            "other": f"{other} ({percent(often, 1)})" if other else "",
        }
        for name, images, share, other, often in sorted(answers.per_class(), key=lambda row: row[2])
    ]
    columns = (
        Column("label", "class"),
        Column("value", "accuracy", "share"),
        Column("n", "images", "count"),
        Column("other", "most often mistaken for"),
    )
    return bars.bars("per-class", "Accuracy of each class", "The hardest class first.", rows, columns, "accuracy")


def _calibration(answers: Answers) -> Chart:
    rows = [
        {"low": b.low, "high": b.high, "confidence": b.confidence, "accuracy": b.accuracy, "count": b.count}
        for b in answers.reliability
    ]
    caption = (
        f"Answers grouped by confidence, and how many of each group are correct. "
        f"Expected calibration error {percent(answers.calibration_error)}. "
        "Where a bar ends below the dashed line the network is overconfident."
    )
    return bars.reliability("reliability", "Reliability diagram", caption, rows)


def _confidence(answers: Answers) -> Chart:
    rows = [
        {"label": f"{b.low:.0%} to {b.high:.0%}", "value": b.count, "text": f"{b.count:,}", "accuracy": b.accuracy}
        for b in answers.reliability
    ]
    columns = (Column("label", "confidence"), Column("value", "images", "count"), Column("accuracy", "correct", "share"))
    return bars.bars("confidence", "How confident the answers are", "Images in each bin of confidence.", rows, columns, "images")


def _time(timing: dict[str, float]) -> Chart:
    total = timing["total"]
    parts = {title: timing.get(key) or 0.0 for key, title in PARTS.items()}
    parts["everything else (start, end)"] = max(0.0, total - sum(parts.values()))
    rows = [
        {
            "label": title,
            "value": seconds,
            "text": f"{duration(seconds)}, {percent(seconds / total, 1)}",
            "share": seconds / total,
        }
        for title, seconds in parts.items()
    ]
    columns = (Column("label", "part"), Column("value", "seconds", "number"), Column("share", "share", "share"))
    return bars.bars(
        "time", "Time of each part", f"{duration(total)} in all, over all sessions.", rows, columns, "seconds", wide=True
    )


# --- mistakes


def most_confident(answers: Answers, count: int = MISTAKES) -> np.ndarray:
    """Places of the wrong answers with the highest probability, highest first."""
    wrong = np.flatnonzero(~answers.right)
    sure = answers.probabilities[wrong].max(1)
    return np.asarray(wrong[np.argsort(-sure, kind="stable")[:count]])


def pictures(answers: Answers, places: np.ndarray, images: np.ndarray) -> tuple[Mistake, ...]:
    """The wrong answers at `places` with their images (M, C, H, W) uint8."""
    probabilities = answers.probabilities
    found = []
    for place, image in list(zip(places.tolist(), images, strict=True))[:MISTAKES]:
        said = int(answers.logits[place].argmax())
        truth = answers.classes[int(answers.targets[place])]
        found.append(Mistake(_data_uri(image), answers.classes[said], float(probabilities[place, said]), truth, place))
    return tuple(found)


def _data_uri(image: np.ndarray) -> str:
    """An image (C, H, W) uint8 of one or three channels as the address of a PNG."""
    pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
