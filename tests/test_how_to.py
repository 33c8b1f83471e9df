"""The commands and snippets of docs/how-to.md, run as they are printed, on little data; and what docs/why-lower.md refers to."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests_support import ROOT

from resnet_lit.config import load
from resnet_lit.run import run

PAGE = (ROOT / "docs" / "how-to.md").read_text()
LITTLE = ("data.limit_train=128", "data.limit_test=64", "trainer.max_epochs=1", "compile=false", "threads=1", "progress=none")
NARROW = ("model.width=0.25",)
BLOCK = re.compile(r"<!-- (file|run)(?:: ([\w.]+))? -->\n```\w+\n(.*?)```", re.DOTALL)
BLOCKS = [match.groups() for match in BLOCK.finditer(PAGE)]
COMMANDS = [(needed, text.strip()) for kind, needed, text in BLOCKS if kind == "run" and text.startswith("python -m")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the page."""
    for kind, name, text in BLOCKS:
        if kind == "file":
            (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_has_its_snippets() -> None:
    assert len(COMMANDS) >= 4
    assert {needed for _, needed, _ in BLOCKS} >= {"brighten.py", "timm", "onnx", "trained"}


@pytest.mark.slow
@pytest.mark.parametrize(("needed", "command"), COMMANDS, ids=[command.rpartition("=")[2] for _, command in COMMANDS])
def test_a_command_of_the_page_trains(folder: Path, needed: str | None, command: str) -> None:
    if needed:
        pytest.importorskip(needed)
    python, option, module, *words = shlex.split(command)
    assert (python, option, module) == ("python", "-m", "resnet_lit.train")
    narrow = () if "model._target_" in command else NARROW
    record = run(load(*words, *LITTLE, *narrow))
    assert record["status"] == "finished", record["reason"]


@pytest.mark.slow
def test_a_trained_network_is_loaded_exported_and_trained_in_a_notebook(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = run(load("+experiment=digits", *LITTLE, *NARROW))
    snippets = {needed: text for kind, needed, text in BLOCKS if kind == "run" and not text.startswith("python -m")}
    names: dict[str, object] = {}
    exec(snippets["trained"], names)
    assert capsys.readouterr().out.strip() in record["data"]["classes"]
    notebook = snippets[None]
    assert 'load("+experiment=digits", "seed=1", "progress=plain")' in notebook
    exec(notebook.replace('"progress=plain"', ", ".join(map(repr, (*LITTLE, *NARROW)))), names)
    assert 0 <= float(capsys.readouterr().out) <= 1
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    exec(snippets["onnx"], names)
    assert (folder / "model.onnx").stat().st_size > 100_000


@pytest.mark.parametrize("page", ["how-to.md", "why-lower.md"])
def test_links_and_commands_of_the_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (ROOT / "docs" / target).exists(), target
    for path, anchor in re.findall(r"\]\(([^)#]*)#([\w-]+)\)", text):
        titles = re.findall(r"^#+ (.*)$", (ROOT / "docs" / (path or page)).read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    for module in re.findall(r"-m (resnet_lit(?:\.\w+)?)", text):
        assert (ROOT / (module.replace(".", "/") + ("/__main__.py" if module == "resnet_lit" else ".py"))).exists()
    assert f"(docs/{page})" in (ROOT / "README.md").read_text()
