"""Searches by Optuna: one study for one question, n_trials in all however often it is typed, by validation accuracy alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests_support import TINY, start

optuna = pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'resnet_lit[optuna]'")
pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="hydra-optuna-sweeper is not installed")

from optuna.distributions import CategoricalDistribution, LogUniformDistribution
from optuna.trial import TrialState, create_trial

from resnet_lit.config import load
from resnet_lit.searches import _load, repair, study_name, summary

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore::FutureWarning")
SPACE = {"optimizer.lr": LogUniformDistribution(1e-3, 1.0), "data.batch_size": CategoricalDistribution((32, 64))}


def trial(lr: float, state: TrialState, value: float | None = None) -> optuna.trial.FrozenTrial:
    values = {"optimizer.lr": lr, "data.batch_size": 32}
    return create_trial(state=state, value=value, params=values, distributions=SPACE)


def test_what_was_cut_off_or_failed_is_asked_for_again_once(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/deep/er/searches.db"
    study = _load(storage, "question")
    study.add_trials([trial(0.1, TrialState.COMPLETE, 0.5), trial(0.2, TrialState.FAIL), trial(0.2, TrialState.FAIL)])
    running = study.ask()
    for name, distribution in SPACE.items():
        running._suggest(name, distribution)

    assert repair(_load(storage, "question")) == 1
    assert repair(_load(storage, "question")) == 1  # killed again, before it asked for any
    study = _load(storage, "question")
    assert [one.state for one in study.trials].count(TrialState.RUNNING) == 0
    again = [study.ask(), study.ask()]
    asked = [{name: one._suggest(name, distribution) for name, distribution in SPACE.items()} for one in again]
    assert asked == [{"optimizer.lr": 0.2, "data.batch_size": 32}, running.params]
    assert not [one for one in study.trials if one.state == TrialState.WAITING]


def test_a_question_has_a_study_of_its_own() -> None:
    config, axes = load("+experiment=digits"), ["optimizer.lr=interval(0.01,1)"]
    name = study_name(config, axes)
    assert re.fullmatch(r"digits-[0-9a-f]{10}", name)
    assert study_name(load("+experiment=digits", "progress=plain"), axes) == name
    assert study_name(load("+experiment=digits", "trainer.max_epochs=9"), axes) != name
    assert study_name(config, ["optimizer.lr=interval(0.01,2)"]) != name


def test_the_best_is_said(tmp_path: Path) -> None:
    study = _load(f"sqlite:///{tmp_path}/searches.db", "question")
    assert summary(study, 2) == "search question: 0 of 2 trials; rerun the command"
    study.add_trials([trial(0.1, TrialState.COMPLETE, 0.5), trial(0.2, TrialState.COMPLETE, 0.75)])
    lines = summary(study, 2).splitlines()
    assert lines[0] == "search question: 2 of 2 trials"
    assert lines[1].startswith("best validation accuracy 75.00%: ")
    assert "optimizer.lr=0.2" in lines[1]


@pytest.mark.slow
def test_a_protocol_without_validation_part_is_refused(tmp_path: Path) -> None:
    driver = start("+search=optimizer", *TINY, "protocol=paper", cwd=tmp_path)
    output = driver.communicate()[0]
    assert driver.returncode == 2, output
    assert "protocol=paper: has no validation part to search by; use protocol=holdout" in output


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_search_typed_again_completes_to_n_trials_and_one_that_fails_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first trial raises once; the second typing tries it again, and has one trial more to make."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "cluster"))
    search = ("+search=optimizer", *TINY, "data.batch_size=32,64", "hydra.sweeper.n_trials=1")
    search += ("+callbacks.casualties._target_=casualties.Casualties", "+callbacks.casualties.nth=1")
    first = start(*search, cwd=tmp_path)
    output = first.communicate()[0]
    assert first.returncode == 1, output
    assert "0 of 1 trials; rerun the command" in output
    second = start(*search, "hydra.sweeper.n_trials=2", cwd=tmp_path)
    output = second.communicate()[0]
    assert second.returncode == 0, output
    assert "2 of 2 trials" in output

    (study,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path}/outputs/searches.db")
    trials = optuna.load_study(study_name=study.study_name, storage=f"sqlite:///{tmp_path}/outputs/searches.db").trials
    assert [one.state for one in trials].count(TrialState.COMPLETE) == 2
    assert [one.state for one in trials].count(TrialState.FAIL) == 1
    records = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/digits/*/result.json")]
    assert len(records) == 2  # the trial that failed has gone on in its folder
    values = sorted(one.value for one in trials if one.value is not None)
    assert values == sorted(record["metrics"]["val/accuracy"] for record in records)
