"""Searches by Optuna: one study for one question, so that rerun the same command to resume until it has n_trials in all.

Hydra's sweeper starts a new study, of n_trials more, whenever it is called. What it is called with is therefore settled here,
before it is made: the study's name, how many trials are missing, and which of the earlier ones have to be run again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from resnet_lit.config import from_hydra
from resnet_lit.identity import identity
from resnet_lit.schema import Config
from resnet_lit.typed import ConfigError, Refused

if TYPE_CHECKING:
    from optuna.study import Study

BUSY = 75
_open: list[tuple[Study, int, FileLock]] = []  # the search of this process, its trials in all, and the lock that it holds


def prepare(config: DictConfig) -> None:
    """Settle study and number of trials of `hydra/sweeper=optuna`, if that is the sweeper. config: of the multirun; changed.

    A trial whose run was cut off, or failed, is asked for again with the same values: its run goes on from its checkpoint.
    Raises ConfigError where there is no validation accuracy to search by. Ends the process with 75 where another one is at it.
    """
    if "OptunaSweeper" not in str(config.hydra.sweeper.get("_target_")):
        return
    sweeper = config.hydra.sweeper
    typed = from_hydra(config)
    if typed.protocol != "holdout":
        raise ConfigError(f"protocol={typed.protocol}: has no validation part to search by; use protocol=holdout")
    axes = _axes(config)
    if not axes:
        raise ConfigError("hydra/sweeper=optuna: nothing to search; try +search=optimizer, or 'optimizer.lr=interval(0.01,1)'")
    name, storage = sweeper.study_name or study_name(typed, axes), sweeper.storage
    if storage is None:
        return  # in memory alone: there is nothing to resume
    study = _load(str(storage), name)
    Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    lock = FileLock(Path(str(config.hydra.sweep.dir)) / f".{name.replace('/', '_')}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        print(
            f"hydra.sweeper.study_name={name}: another process is at this search; wait for it, or end it first", file=sys.stderr
        )
        sys.exit(BUSY)
    done = repair(study)
    with open_dict(config):
        sweeper.study_name, sweeper.n_trials = name, max(0, int(sweeper.n_trials) - done)
        if (sweeper.sampler or {}).get("seed") is not None:  # the numbers of the trials before are not drawn again
            sweeper.sampler.seed = int(sweeper.sampler.seed) + len(study.trials)
    _open.append((study, done + sweeper.n_trials, lock))


def _axes(config: DictConfig) -> list[str]:
    """The words of the search space, sorted: those of the sweeper's params and those typed."""
    params = OmegaConf.to_container(config.hydra.sweeper.params or OmegaConf.create({}))
    words = [f"{key!s}={value}" for key, value in params.items()]  # type: ignore[union-attr]
    words += [str(word) for word in config.hydra.overrides.task]
    last = {word.get_key_element(): word for word in OverridesParser.create().parse_overrides(words)}  # a typed one replaces
    return sorted(str(word.input_line) for word in last.values() if word.is_sweep_override())


def study_name(config: Config, axes: list[str]) -> str:
    """<name>-<ten digits>: the digits say what is searched, and around which config."""
    text = json.dumps([identity(config), axes])
    return f"{config.name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _load(storage: str, name: str) -> Study:
    """The study of this name, made where there is none. Its tables are made statement by statement.

    Optuna 2 leaves the note of its tables' version to be committed by SQLAlchemy, which stopped doing so in 2.0.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if storage.startswith("sqlite:///"):
        Path(storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    try:
        optuna.storages.RDBStorage(storage, engine_kwargs={"isolation_level": "AUTOCOMMIT"})
        return optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    except Exception as error:  # of SQLAlchemy, of the database's driver, of Optuna
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise Refused(f"hydra.sweeper.storage={storage}: cannot be used ({first})") from error


def repair(study: Study) -> int:
    """Ask again for the trials that did not end, or failed; how many have a value."""
    import optuna

    state = optuna.trial.TrialState
    trials = study.trials
    for trial in trials:
        if trial.state == state.RUNNING:  # its driver is gone: this process holds the lock
            study.tell(trial.number, state=state.FAIL)
    kept = [trial.params for trial in trials if trial.state == state.COMPLETE]
    kept += [dict(trial.system_attrs.get("fixed_params", {})) for trial in trials if trial.state == state.WAITING]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for trial in trials:
            if trial.state in (state.RUNNING, state.FAIL) and trial.params and trial.params not in kept:
                study.enqueue_trial(dict(trial.params))
                kept.append(trial.params)
    return sum(trial.state == state.COMPLETE for trial in trials)


def all_failed() -> bool:
    """Whether this process makes a search in which no trial has a value."""
    return any(all(trial.value is None for trial in study.trials) for study, _, _ in _open)


def close() -> None:
    """Print what has come of this process's search, if it made one."""
    while _open:
        study, wanted, lock = _open.pop()
        lock.release()
        print(summary(study, wanted))


def summary(study: Study, wanted: int) -> str:
    """How many trials have a value, and the best of them. wanted: how many are to have one."""
    valued: list[Any] = [trial for trial in study.trials if trial.value is not None]
    lines = [
        f"search {study.study_name}: {len(valued)} of {wanted} trials" + ("" if len(valued) >= wanted else "; rerun the command")
    ]
    if valued:
        best = max(valued, key=lambda trial: trial.value)
        words = " ".join(f"{key}={value}" for key, value in best.params.items())
        lines.append(f"best validation accuracy {best.value:.2%}: {words}")
    return "\n".join(lines)
