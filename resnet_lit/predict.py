"""What a trained run says of images: class and probability for each file.

python -m resnet_lit.predict run=outputs/model4/<run> photo.jpg more_photos/
python -m resnet_lit.predict run=outputs/model4/<run> more_photos/ --format=csv --top=3 > answers.csv

Images may have any size and any of the usual formats: they are made upright and resized to the square that the run was trained
on. Of a folder every image is taken, those of its folders too. What cannot be read is named and left out.
--format=table|json|csv (default table); --top=N, the N most probable classes (default 1); --last, the last weights instead of
the chosen ones.

A name that is not UTF-8, or that holds control characters, is written with escapes (`\\xff`), in JSON as Python reads it.

Exit status: 0, 1 where a file was left out, 2 where nothing could be done.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from resnet_lit.data.decode import decode
from resnet_lit.data.errors import Unusable
from resnet_lit.data.tree import is_hidden, is_image
from resnet_lit.escaping import rich_text
from resnet_lit.formatting import percent
from resnet_lit.printable import printable
from resnet_lit.run_path import is_run
from resnet_lit.typed import ConfigError, Refused

FORMATS = ("table", "json", "csv")
BATCH = 256


@dataclass(frozen=True)
class Answer:
    """What the network says of one file: classes with their probabilities, the most probable first."""

    file: str
    top: tuple[tuple[str, float], ...]


def main() -> None:
    """The command."""
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & {*words}:
        print(__doc__)
        sys.exit(0)
    try:
        sys.exit(_predict(words))
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, BrokenPipeError):  # `| head` has seen enough
        sys.stderr.close()
        sys.exit(130)


def _predict(words: list[str]) -> int:
    run, paths, options, last = _parse(words)
    top = int(options["--top"])
    files = _files(paths)
    from resnet_lit.trained import open_run  # torch and Lightning: seconds, and only now are the words known to be good

    trained = open_run(run, last=last)
    if top > len(trained.classes):
        raise ConfigError(f"--top={top}: the run has only {len(trained.classes)} classes")
    left_out: list[str] = []
    answers: list[Answer] = []
    with_bar = sys.stderr.isatty() and len(files) > BATCH
    shown: Iterable[Path] = track(files, "reading", console=Console(stderr=True), transient=True) if with_bar else files
    for named, images in _batches(shown, trained.image_size, left_out):
        import torch

        for logits in trained.logits([torch.from_numpy(images)]):
            best = torch.softmax(logits, 1).topk(top)
            for file, values, indices in zip(named, best.values.tolist(), best.indices.tolist(), strict=True):
                answers.append(Answer(file, tuple((trained.classes[i], p) for i, p in zip(indices, values, strict=True))))
    _print(answers, options["--format"])
    if left_out:
        print(f"{len(left_out)} of {len(files)} files left out", file=sys.stderr)
    return 1 if left_out else 0


def _parse(words: list[str]) -> tuple[str, list[str], dict[str, str], bool]:
    """Run folder, paths, options, and whether the last weights are meant."""
    run, paths, options, last = "", [], {"--format": "table", "--top": "1"}, False
    for word in words:
        name, equals, value = word.partition("=")
        if name == "run":
            if run and run != value:
                raise ConfigError(f"{word}: one run at a time; leave out run={run}")
            run = value
        elif name in options and equals:
            options[name] = value
        elif word == "--last":
            last = True
        elif word.startswith("--"):
            raise ConfigError(f"{word}: no such option (python -m resnet_lit.predict --help)")
        elif name == "evaluation.tta":
            raise ConfigError(f"{word}: predict answers from the single view of each image; leave it out")
        else:
            paths.append(word)
    if not run and (runs := [path for path in paths if is_run(path) and not is_image(path)]):
        raise ConfigError(f"{runs[0]}: is a run, no image: did you mean run={runs[0]}?")
    if not run or not paths:
        raise ConfigError(
            "name a run and the images to classify: python -m resnet_lit.predict run=<run folder> <images or folders>"
        )
    if options["--format"] not in FORMATS:
        raise ConfigError(f"--format={options['--format']}: must be one of {', '.join(FORMATS)}")
    if not options["--top"].isdigit() or int(options["--top"]) < 1:
        raise ConfigError(f"--top={options['--top']}: must be a whole number of at least 1 (try --top=3)")
    return run, paths, options, last


def _files(paths: list[str]) -> list[Path]:
    """The files that are meant: each that was named, and the images below each folder. Raises ConfigError."""
    found: list[Path] = []
    for path in (Path(os.path.expanduser(path)) for path in paths):
        if os.path.isdir(path):
            below = sorted(
                file
                for file in path.rglob("*")
                if is_image(file.name) and file.is_file() and not any(is_hidden(part) for part in file.relative_to(path).parts)
            )
            if not below:
                raise ConfigError(f"{path}: holds no image (.png, .jpg, …)")
            found += below
        elif os.path.exists(path):
            found.append(path)
        else:
            raise ConfigError(f"{path}: no such file or folder")
    return list(dict.fromkeys(found))


def _batches(files: Iterable[Path], size: int, left_out: list[str]) -> Iterator[tuple[list[str], np.ndarray]]:
    """(names, images (N, 3, size, size) uint8), at most BATCH at a time. What cannot be read is named and noted in `left_out`."""
    names: list[str] = []
    images: list[np.ndarray] = []
    for file in files:
        try:
            pixels, _ = decode(str(file), file.read_bytes(), size)
        except (OSError, Unusable) as error:
            print(printable(str(error)), file=sys.stderr)
            left_out.append(str(file))
            continue
        names.append(str(file))
        images.append(pixels.transpose(2, 0, 1))
        if len(names) == BATCH:
            yield names, np.stack(images)
            names, images = [], []
    if names:
        yield names, np.stack(images)


def _print(answers: list[Answer], form: str) -> None:
    if form == "json":
        data = [{"file": a.file, "top": [{"class": name, "probability": p} for name, p in a.top]} for a in answers]
        print(json.dumps(data, indent=1))
    elif form == "csv":
        places = range(len(answers[0].top)) if answers else range(1)
        numbered = [f"_{place + 1}" if place else "" for place in places]
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["file", *(f"{name}{number}" for number in numbered for name in ("class", "probability"))])
        for answer in answers:
            top = (value for name, p in answer.top for value in (printable(name), f"{p:.6f}"))
            writer.writerow([printable(answer.file), *top])
    else:
        rows = Table(box=None, pad_edge=False, header_style="bold")
        rows.add_column("file", overflow="fold")
        rows.add_column("class")
        rows.add_column("probability", justify="right")
        for answer in answers:
            for place, (name, p) in enumerate(answer.top):
                rows.add_row(rich_text("" if place else answer.file), rich_text(name), percent(p, 1))
        Console(width=None if sys.stdout.isatty() else 1000).print(rows)


if __name__ == "__main__":
    main()
