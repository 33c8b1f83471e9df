"""The command: what it writes, what it refuses, and that no folder stops it."""

from __future__ import annotations

import csv
import json
import os
import threading
import time
from pathlib import Path

import pytest
from made_runs import make_paper_run, make_run

from resnet_lit import record as records
from resnet_lit import report
from resnet_lit.typed import Refused

HOSTILE = '<script>alert("1")</script> | `x` & 50% _$\\'


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    """The command in this process: exit status, stdout, stderr."""
    monkeypatch.setattr("sys.argv", ["report", *words])
    try:
        report.main()
        status = 0
    except SystemExit as error:
        status = int(error.code or 0)
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Four cells with three seeds each, one run of which diverged."""
    for size in (32, 64):
        for decay in (0.0, 0.0005):
            for seed in range(3):
                values = {"data.batch_size": size, "optimizer.weight_decay": decay}
                status = "diverged" if (size, decay, seed) == (32, 0.0, 2) else "finished"
                accuracy = 0.9 + 0.01 * (size == 64) + seed / 1000
                make_run(tmp_path / "runs" / f"{size}-{decay}-{seed}", values, seed=seed, accuracy=accuracy, status=status)
    return tmp_path / "runs"


def test_a_report_has_every_form_and_lies_in_the_folder(small: Path, capsys, monkeypatch) -> None:
    status, out, err = run(capsys, monkeypatch, str(small), "--no-html")
    assert (status, err) == (0, "")
    assert out == f"12 runs in 4 cells, 1 of them unfinished; written to {small}/report/report.md\n"
    text = (small / "report" / "report.md").read_text()
    assert "| weight\\_decay=0 · batch\\_size=32 |" in text
    assert "made to be diverged" in text
    assert text.count("not measured") == 0  # no run repeats a cell of the paper: one line says so
    assert "none of its 200 numbers is measured" in text
    with (small / "report" / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["test/accuracy/n"] for row in rows] == ["2", "3", "3", "3"]
    with (small / "report" / "runs.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)].count("diverged") == 1
    assert (small / "report" / "tables" / "paper-figure-12.tex").read_text().count(
        "not measured"
    ) == 2 * 48  # ours, and the verdict


def test_the_page_is_whole_and_has_the_papers_tables_as_text(small: Path, capsys, monkeypatch) -> None:
    status, out, _ = run(capsys, monkeypatch, str(small), f"--to={small.parent / 'out'}")
    assert status == 0
    assert "report.html" in out
    page = (small.parent / "out" / "report.html").read_text()
    assert "none of its 200 numbers is measured" in page
    assert "made to be diverged" in page
    assert list((small.parent / "out" / "figures").glob("*.svg"))


def test_a_report_read_again_does_not_read_itself(small: Path, capsys, monkeypatch) -> None:
    first = run(capsys, monkeypatch, str(small), "--no-html")
    assert run(capsys, monkeypatch, str(small), "--no-html") == first


def test_damaged_edited_and_hostile_folders_are_named_or_escaped(tmp_path: Path, capsys, monkeypatch) -> None:
    make_run(tmp_path / "good", {"model.name": HOSTILE}, name=HOSTILE, label=HOSTILE)
    make_run(tmp_path / "bad", {"model.name": HOSTILE}, seed=1, status="failed", reason=HOSTILE)
    for name in ("edited", "cut", "older", "<img src=x onerror=alert(1)>"):
        make_run(tmp_path / name, seed=2)
    for name, change in (("edited", {"steps": 7}), ("older", {"schema_version": 0})):
        path = tmp_path / name / records.RESULT
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    for name in ("cut", "<img src=x onerror=alert(1)>"):
        path = tmp_path / name / records.RESULT
        path.write_text(path.read_text()[:300])
    status, out, err = run(capsys, monkeypatch, str(tmp_path))
    assert status == 0
    assert out.startswith("2 runs in 1 cell, 1 of them unfinished; 4 folders left out")
    for name in ("edited", "cut", "older", "<img src=x onerror=alert(1)>"):
        assert f"{tmp_path / name}: " in err
    folder = tmp_path / "report"
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    assert "alert(&#34;1&#34;)" in page or "alert(&quot;1&quot;)" in page
    for made in (page, text):
        assert "<script>alert" not in made
        assert "<img src=x" not in made.replace("`" + str(tmp_path / "<img src=x onerror=alert(1)>") + "`", "")
        assert "schema_version" in made.replace("\\", "")
    cells = next((folder / "tables").glob("cells-*.tex")).read_text()
    assert r"\textbar{} \textasciigrave{}x\textasciigrave{} \& 50\% \_\allowbreak{}\$\textbackslash{}" in cells


def test_a_folder_whose_name_is_no_text_is_named_and_stops_nothing(tmp_path: Path, capsys, monkeypatch) -> None:
    make_run(tmp_path / "good")
    try:
        odd = make_run(tmp_path / os.fsdecode(b"caf\xe9\x07"), {"data.batch_size": 64})
    except OSError:
        pytest.skip("this file system takes no such name")
    status, out, err = run(capsys, monkeypatch, str(tmp_path))
    assert status == 0
    assert out.startswith("2 runs in 2 cells")
    assert err.startswith(f"{tmp_path}/caf\\xe9\\x07: its folder's name holds characters that cannot be printed")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "caf\\xe9\\x07" in page
    assert 'href="../caf%E9%07"' in page  # the link works
    assert str(odd) not in page


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["--too=x"], "--too: no such option here"),
        (["--to"], "--to: needs a folder"),
        (["--power", "much"], "--power=much: must be percentage points of accuracy"),
        (["--power=0"], "--power=0: must be percentage points"),
        (["--sd=0.1"], "--sd: goes with --power"),
        ([".", "--compare", "a"], "--compare: needs two runs"),
        ([".", "--no-html", "--compare", "a", "b"], "a: no run folder and no cell of this name"),
    ],
)
def test_what_does_not_fit_is_one_line_and_status_2(tmp_path: Path, capsys, monkeypatch, words: list[str], line: str) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, monkeypatch, *words)
    assert (status, out) == (2, "")
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_help_is_the_docstring(capsys, monkeypatch) -> None:
    assert run(capsys, monkeypatch, "-h") == (0, f"{report.__doc__}\n", "")


def test_power_says_how_many_seeds(capsys, monkeypatch) -> None:
    status, out, _ = run(capsys, monkeypatch, "--power", "0.16", "--sd=0.15")
    assert status == 0
    assert ["0.15", "points", "80%", "15", "16", "10"] in [line.split() for line in out.splitlines()]


def test_two_cells_side_by_side(small: Path, capsys, monkeypatch) -> None:
    names = "model4 batch_size=64 weight_decay=0.0005", "model4 weight_decay=0.0005 batch_size=32"
    status, out, _ = run(capsys, monkeypatch, str(small), "--no-html", "--compare", *names)
    assert status == 0
    assert ["data.batch_size", "64", "32"] in [line.split() for line in out.splitlines()]
    assert "+1.00 (+1.00 to +1.00, paired t" in out


def test_two_run_folders_side_by_side_image_by_image(tmp_path: Path, capsys, monkeypatch) -> None:
    for seed, accuracy in enumerate((0.9, 0.91)):
        make_run(tmp_path / str(seed), seed=seed, accuracy=accuracy, outputs=True)
    sides = str(tmp_path / "0"), str(tmp_path / "1")
    status, out, _ = run(capsys, monkeypatch, "--no-html", "--compare", *sides)
    assert status == 0
    assert ["seed", "0", "1"] in [line.split() for line in out.splitlines()]
    assert "-1.00 (-1.20 to -0.80, test images, p < 0.0001)" in out
    assert (tmp_path / "report" / "report.md").exists()


def test_sides_of_other_data_are_compared_with_a_warning(tmp_path: Path, capsys, monkeypatch) -> None:
    make_run(tmp_path / "0")
    make_run(tmp_path / "1", variant="cifar10")
    sides = str(tmp_path / "0"), str(tmp_path / "1")
    _, out, _ = run(capsys, monkeypatch, "--no-html", "--compare", *sides)
    assert "They differ in data: their numbers do not compare." in out


def test_watch_writes_again_when_a_run_ends_and_stops_when_nothing_runs(tmp_path: Path, capsys) -> None:
    folder = make_run(tmp_path / "run", status="running")
    wanted = report.Wanted(folders=(str(tmp_path),), html=False)
    thread = threading.Thread(target=report.watch, args=(wanted,), kwargs={"every": 0.02, "patience": 0.2}, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not (tmp_path / "report" / "report.md").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    record = json.loads((folder / records.RESULT).read_text())
    records.write(folder, {**record, "status": "failed", "reason": "made to fail"})
    thread.join(60)
    assert not thread.is_alive()
    assert "made to fail" in (tmp_path / "report" / "report.md").read_text()
    assert "1 running" in capsys.readouterr().out


def test_several_folders_are_reported_above_them(tmp_path: Path) -> None:
    assert report.destination(report.Wanted(folders=("outputs/a",))) == Path("outputs/a/report")
    both = report.Wanted(folders=(str(tmp_path / "a"), str(tmp_path / "b" / "c")))
    assert report.destination(both) == tmp_path / "report"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot be written"):
        report.write(report.Wanted(folders=(str(tmp_path),), to=str(tmp_path / "file" / "report"), html=False))


def test_the_papers_sweep_is_beside_its_tables(tmp_path: Path) -> None:
    for cell in ("model4_sgd_momentum", "model1_batch_64_dropout"):
        for seed in range(2):
            make_paper_run(tmp_path / f"{cell}-{seed}", cell, seed=seed, accuracy=0.95 + seed / 1000)
    report.write(report.Wanted(folders=(str(tmp_path),), html=False))
    text = (tmp_path / "report" / "report.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| L2 | test accuracy"))
    assert "| 95.14 |" in row
    assert "95.05 ± 0.07 (n = 2)" in row
    assert "| paper | cifar10 |" in row
