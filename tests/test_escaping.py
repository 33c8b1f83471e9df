"""A nasty name through every output: it stands for itself, and stops nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_runs import CLASSES, make_run
from rich.console import Console
from rich.table import Table

from resnet_lit import board, evaluate, live, plan, predict, report, results
from resnet_lit.escaping import latex, markdown, markdown_code, printable_data, rich_text
from resnet_lit.planning import Planned
from resnet_lit.printable import printable
from resnet_lit.schema import Config
from resnet_lit.standing import Standing, stand

BYTE = os.fsdecode(b"\xff")  # of a file name that is not UTF-8
NASTY = f"[bold]a[/x] |`b`| *c* <i>&d $e^2 \\f\x07 g\nh {BYTE} 50%_#~\"'"
SHOWN = printable(NASTY)
IN_A_PATH = NASTY.replace("/", "")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells of two seeds, one named by NASTY, which is a class too; and a run that failed with it as its reason."""
    folder = tmp_path_factory.mktemp("nasty")
    data = {"variant": "folder", "hash": "0" * 64, "classes": [NASTY, *CLASSES[1:]], "sizes": {"test": 10_000}}
    for number, name in enumerate((NASTY, "sgd")):
        for seed in (0, 1):
            values = {"optimizer.name": name, "optimizer.lr": 0.1 + number, "name": NASTY, "model.name": NASTY}
            make_run(folder / f"{number}-{seed}", values, seed=seed, accuracy=0.9 + number / 100 + seed / 1000, data=data)
    make_run(folder / "bad", {"optimizer.name": NASTY, "optimizer.lr": 0.1}, seed=2, status="failed", reason=NASTY, data=data)
    return folder


@pytest.fixture(scope="module")
def written(runs: Path) -> Path:
    """The report of them, figures too."""
    report.write(report.Wanted(folders=(str(runs),)))
    return runs / "report"


class Texts(HTMLParser):
    """What a browser would show of a page, and the elements that it would make."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts, self.tags = [], set()
        self.feed(page)

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.add(tag)

    def handle_data(self, data) -> None:
        self.texts.append(data)


def test_the_page_shows_it_as_it_is(written: Path) -> None:
    page = Texts((written / "report.html").read_text(encoding="utf-8"))
    assert "i" not in page.tags
    assert SHOWN in "".join(page.texts)


def test_every_figure_is_drawn(written: Path) -> None:
    drawn = sorted((written / "figures").glob("*.svg"))
    assert len(drawn) >= 3
    for picture in drawn:
        assert picture.with_suffix(".png").stat().st_size > 1000, picture


def test_csv_gives_it_back(written: Path) -> None:
    with (written / "runs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert SHOWN in {row["optimizer"] for row in rows}
    assert SHOWN in {row["reason"] for row in rows}


def test_markdown_keeps_its_columns_and_its_letters(written: Path) -> None:
    text = (written / "report.md").read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert tables
    for lines in (table.splitlines() for table in tables):
        borders = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines]
        assert len(set(borders)) == 1, lines
    assert (
        re.sub(r"\\([^A-Za-z0-9])", r"\1", markdown(NASTY)).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        == SHOWN
    )
    assert markdown("1. a").startswith("1\\.")
    assert markdown_code("a`b``c") == "``` a`b``c ```"


def test_latex_has_no_open_command(written: Path) -> None:
    for table in (written / "tables").glob("*.tex"):
        text = table.read_text(encoding="utf-8")
        assert text.isprintable() or set(text) - set("\n") == {letter for letter in text if letter.isprintable()}
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert latex("[a] & 5% -3") == "{[}a{]} \\& 5\\% $-$3"
    assert latex("a--b") == "a-{}-b"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_latex_is_set_within_the_page(written: Path, tmp_path: Path) -> None:
    inputs = "".join(f"\\input{{{table}}}" for table in (written / "tables").glob("*.tex"))
    packages = r"\usepackage[T1]{fontenc}\usepackage{textcomp,array,booktabs,longtable}"
    (tmp_path / "all.tex").write_text(rf"\documentclass{{article}}{packages}\begin{{document}}{inputs}\end{{document}}")
    said = subprocess.run(["pdflatex", "-interaction=nonstopmode", "all.tex"], cwd=tmp_path, capture_output=True, check=False)
    log = said.stdout.decode(errors="replace")
    assert not re.findall(r"^! .*", log, re.MULTILINE)
    assert not [width for width in re.findall(r"Overfull \\hbox \((\d+)", log) if int(width) > 10]


def test_rich_takes_it_for_text() -> None:
    rows = Table(box=None)
    rows.add_column("name")
    rows.add_row(rich_text(NASTY))
    console = Console(width=200, file=io.StringIO())
    console.print(rows)
    assert SHOWN in console.file.getvalue()


def test_the_table_of_a_sweep_shows_it(runs: Path) -> None:
    standings = [stand(runs / "bad"), stand(runs / "0-0")]
    text = results.table(standings)
    assert SHOWN in text
    assert len(text.splitlines()) == 4  # what they are sorted by, the head, two runs
    assert SHOWN in {row["reason"] for row in csv.DictReader(io.StringIO(results.as_csv(standings)))}


def test_tensorboard_calls_a_run_by_a_name_that_a_folder_can_have(runs: Path, tmp_path: Path) -> None:
    name = board.run_name(runs / "0-0")
    assert "[bold]a[" in name
    (tmp_path / name).mkdir()
    make_run(tmp_path / "long", {"name": "опыт " * 100})
    (tmp_path / board.run_name(tmp_path / "long")).mkdir()


def test_data_keeps_its_shape() -> None:
    given = {"a\x07": ["b\n", {"c": 1.5, "d": None}]}
    assert json.dumps(printable_data(given)) == json.dumps({"a\\x07": ["b\\x0a", {"c": 1.5, "d": None}]})


def test_evaluate_and_predict_show_a_class_of_that_name(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"variant": "folder", "hash": "0" * 64, "part": "test", "images": 2}
    row = {"name": NASTY, "images": 2, "accuracy": 0.5, "taken_for": NASTY, "how_often": 0.5}
    found = {"run": NASTY, "checkpoint": "best.ckpt", "data": data, "accuracy": 0.5, "interval": [0.1, 0.9], "loss": 1.0}
    said = evaluate.report({**found, "calibration_error": 0.1, "classes": [row]})
    assert said.count(SHOWN) == 3
    answers = [predict.Answer(NASTY, ((NASTY, 0.75),))]
    for form, times in (("table", 2), ("csv", 0)):
        predict._print(answers, form)
        said = capsys.readouterr().out
        assert said.count(SHOWN) == times
    assert [SHOWN, SHOWN, "0.750000"] in list(csv.reader(io.StringIO(said)))


def test_what_a_sweep_shows_while_it_runs_is_text(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = live.Progress([], {}, NASTY, "plain")
    shown.runs = [Standing(runs / IN_A_PATH, "running", beat={"metrics": {}}), stand(runs / "bad")]
    console = Console(width=300, file=io.StringIO())
    console.print(shown._picture())
    assert SHOWN in console.file.getvalue()  # the sweep's name
    assert f"{printable(IN_A_PATH)}  " in console.file.getvalue()  # the run that is being trained
    shown._say(shown.runs[1])
    assert SHOWN in capsys.readouterr().out


def test_plan_shows_a_folder_of_that_name(tmp_path: Path) -> None:
    run = Planned(Config(), tmp_path / IN_A_PATH, "finished", 0, None)
    assert printable(IN_A_PATH) in plan.table([run], 1)
