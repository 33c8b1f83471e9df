"""What cells are called: at most a line, with what was swept, and a legend for what is long."""

from __future__ import annotations

from pathlib import Path

from made_runs import make_mixed, make_run

from resnet_lit.reporting.cells import Section, sections
from resnet_lit.reporting.naming import LINE, names
from resnet_lit.reporting.runs import read_runs


def section_of(folder: Path) -> Section:
    return sections(read_runs([folder])[0])[0]


def test_names_of_mixed_runs_fit_a_line_and_differ(tmp_path: Path) -> None:
    section = section_of(make_mixed(tmp_path))
    known = names(section)
    called = [known(cell) for cell in section.cells]
    assert len(set(called)) == len(called)
    assert max(map(len, called)) <= LINE
    assert "adam · lr=0.001" in called
    assert any(name.startswith("lr=0.1 ") for name in called)  # swept: told although it is the usual rate
    assert "lr=0.05" in called
    assert "blocks=[3,3,3,3,2,2,2,1]" in known.legend.values()


def test_the_default_among_many_settings_is_not_named_by_all_its_values(tmp_path: Path) -> None:
    keys = ("data.batch_size", "optimizer.lr", "optimizer.weight_decay", "augment.flip", "model.dropout", "trainer.max_epochs")
    make_run(tmp_path / "default", dict.fromkeys(keys, 1))
    for number in range(2):  # each changes two of them: no cell differs from the default in one alone
        for first, second in zip(keys[::2], keys[1::2], strict=True):
            make_run(tmp_path / f"{first}-{number}", {**dict.fromkeys(keys, 1), first: number + 2, second: number + 2})
    section = section_of(tmp_path)
    known = names(section)
    default = next(cell for cell in section.cells if set(cell.factors.values()) == {1})
    assert known(default) == "the usual values"
    assert set(known.usual) == {key.split(".")[-1] for key in keys}


def test_a_path_is_its_end_and_paths_that_end_alike_are_letters(tmp_path: Path) -> None:
    for number, root in enumerate(("/data/a/flowers", "/data/a/birds", "/data/b/birds")):
        make_run(tmp_path / str(number), {"weights": root})
    section = section_of(tmp_path)
    called = {names(section)(cell) for cell in section.cells}
    assert "weights=…/flowers" in called
    assert {"weights=A", "weights=B"} < called
    assert set(names(section).legend.values()) == {"weights=/data/a/birds", "weights=/data/b/birds"}


def test_settings_that_do_not_fit_a_line_are_a_letter(tmp_path: Path) -> None:
    keys = ("data.batch_size", "optimizer.lr", "optimizer.weight_decay", "augment.flip", "model.dropout", "trainer.max_epochs")
    for number in range(3):
        make_run(tmp_path / str(number), dict.fromkeys(keys, number + 1))
    section = section_of(tmp_path)
    for cell in section.cells:
        assert len(names(section)(cell)) <= LINE
    assert any("max_epochs=1" in meaning for meaning in names(section).legend.values())
