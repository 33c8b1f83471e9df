"""Before Hydra writes or starts anything: every config is checked, and every cell of a multirun is known."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from resnet_lit import devices, launchers, planning, searches
from resnet_lit import record as records
from resnet_lit.command_line import PACKAGE, Source, check_name, literal
from resnet_lit.config import CONF, Config, explain, folder_name, from_hydra, own_hydra
from resnet_lit.hydra_session import source_of
from resnet_lit.live import Progress
from resnet_lit.own_files import absent
from resnet_lit.run import have_data, lacks_views, reading_views
from resnet_lit.sections import Sweep
from resnet_lit.typed import ConfigError, Refused, build


@dataclass(frozen=True)
class Cell:
    """One run of a multirun."""

    words: tuple[str, ...]
    config: Config
    folder: Path

    @property
    def place(self) -> tuple[Config, Path]:
        """What it trains, and where."""
        return self.config, self.folder


# The cells of the multirun that this process drives, in order, and how it goes on; nothing in a launcher's worker.
cells: list[Cell] = []
progress: Progress | None = None
# Folders that did not exist before Hydra made them: those that still hold nothing at the end are taken away again.
new_folders: set[Path] = set()


def refuse(message: str) -> None:
    """One line on stderr and exit status 2: nothing has been written."""
    _say(message)
    sys.exit(2)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Preflight(Callback):
    """Hydra calls this before it makes a folder. It swallows ordinary exceptions of callbacks, so refusing means to exit."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        try:
            from_hydra(config)
            _settle(config, "run")
            new_folders.update(absent(Path(str(config.hydra.run.dir))))
        except Refused as error:
            refuse(str(error))
        except (HydraException, OmegaConfBaseException) as error:
            refuse(explain(error, _typed(config), source_of(config.hydra)))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Compose and check every cell once. Hydra asks for each twice more and gets what was composed here."""
        try:
            launchers.check(config)
            _settle(config, "sweep")
            composer = Composer(cells)
            _compose_all(config, composer)
            launchers.guard(lambda words: composer.cell(config, words).place)
            if launchers.runs_here(config):
                for cell in cells:
                    if (records.read(cell.folder) or {}).get("status") not in records.ENDED:
                        devices.check_quickly(cell.config.trainer)
                places = [cell.place for cell in cells] or [(from_hydra(config), Path(str(config.hydra.sweep.dir)))]
                have_data(places, _say)
            if cells:
                planning.check_sweep([cell.place for cell in cells])
                _tell_of_views(cells)
            searches.prepare(config)  # last: it writes
        except Refused as error:
            refuse(str(error))
        global progress
        progress = Progress(cells, launchers.endings, _name(config), str(config.progress))
        progress.open()


def _tell_of_views(cells: Sequence[Cell]) -> None:
    """Say which runs have ended without the test-time augmentation that is asked for: they are not trained again for it."""
    if lacking := [cell for cell in cells if lacks_views(cell.config, records.read(cell.folder))]:
        config, folder = lacking[0].place
        count = f"{len(lacking)} of {len(cells)} runs have ended and were not tested so"
        _say(f"evaluation.tta={config.evaluation.tta}: {count}; {reading_views(config, folder)} does for the first")


def require(source: Source, overrides: Sequence[str]) -> None:
    """Raise ConfigError where the folder of --config-path has no config that has runs checked before they start."""
    if source.path is None:
        return
    with own_hydra(source) as hydra:
        config = hydra.compose_config(source.name, list(overrides), RunMode.MULTIRUN, with_log_configuration=False)
    if "preflight" not in (config.hydra.callbacks or {}):
        raise ConfigError(
            f"--config-path={source.path}: must be a copy of the package's conf/, with its hydra.callbacks; "
            "--config-dir adds configs of your own to those of the package"
        )


def cells_of(overrides: Sequence[str], source: Source = PACKAGE, *, multirun: bool = False) -> list[Cell]:
    """What a command line would run, and where: one cell, or those of a multirun. Raises Refused."""
    words = list(overrides)
    check_name(source, CONF, words)
    try:
        with own_hydra(source) as hydra:
            multirun = multirun or hydra.get_mode(source.name, words) == RunMode.MULTIRUN  # a sweep file says so
            mode = RunMode.MULTIRUN if multirun else RunMode.RUN
            config = hydra.compose_config(source.name, words, mode, with_log_configuration=False)
            if not multirun:
                return [Cell(tuple(words), from_hydra(config), Path(str(config.hydra.run.dir)).expanduser())]
            found: list[Cell] = []
            _compose_all(config, Composer(found))
            if not found:
                raise ConfigError("hydra/sweeper: chooses its cells as it goes: plan one of them")
            return found
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, words, source)) from error


def _settle(config: DictConfig, kind: str) -> None:
    """Write `~` in the folder of a run, or of a sweep, out as the user's home; Hydra would make a folder of that name."""
    folder = OmegaConf.select(config, f"hydra.{kind}.dir")
    if str(folder).startswith("~"):
        OmegaConf.update(config, f"hydra.{kind}.dir", os.path.expanduser(str(folder)), force_add=True)


def _name(config: DictConfig) -> str:
    """What a multirun is called: by its sweep file, or search."""
    chosen = config.hydra.runtime.choices
    return "-".join(str(name) for name in (chosen.get("sweep") or chosen.get("search") or "sweep", config.scale) if name)


def _compose_all(config: DictConfig, composer: Composer) -> None:
    """Compose and check the cells of a multirun; none where a sweeper chooses them as it goes. Raises Refused."""
    words: list[str] = []
    try:
        if not str(config.hydra.sweeper.get("_target_", "")).endswith("BasicSweeper"):
            from_hydra(config)  # each is checked when it comes
            return
        build(Sweep, config.sweep, "sweep.")  # the axes of a sweep file are made of it
        expanded = _expand(config)
        if not expanded:
            raise ConfigError(f"{' '.join(_typed(config))}: no run at all; a glob matches nothing")
        for words in expanded:
            composer.cell(config, words)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, words or _typed(config), source_of(config.hydra))) from error


def _typed(config: DictConfig) -> list[str]:
    """The words as they were typed."""
    return [str(word) for word in OmegaConf.to_container(config.hydra.overrides.task, resolve=False)]  # type: ignore[union-attr]


def _expand(config: DictConfig) -> list[list[str]]:
    """The words of each cell, as Hydra's own sweeper makes them."""
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    loader = GlobalHydra.instance().config_loader()
    overrides = OverridesParser.create(config_loader=loader).parse_overrides([*params, *config.hydra.overrides.task])
    given: dict[str, Override] = {}
    for override in OverridesParser.create(config_loader=loader).parse_overrides(list(config.hydra.overrides.task)):
        key = override.get_key_element().lstrip("+")
        other = given.setdefault(key, override)
        if override is not other and (override.is_sweep_override() or other.is_sweep_override()):
            raise ConfigError(f"{other.input_line}: given twice, also as {override.input_line}; leave one of them out")
    return BasicSweeper.split_arguments(overrides, None)[0]


class Composer:
    """Composes each cell once only, with its folder settled; stands before the loader of Hydra, which asks twice for each.

    cells: gets each cell as it is composed. In another process (a launcher's worker) nothing is remembered, and only the cell
    that is asked for is composed.
    """

    def __init__(self, cells: list[Cell]) -> None:
        loader = GlobalHydra.instance().config_loader()
        self.compose, self.cells = loader.load_sweep_config, cells
        self.known: dict[tuple[str, ...], tuple[Cell, DictConfig]] = {}
        self.shown: set[tuple[str, ...]] = set()
        loader.load_sweep_config = self  # type: ignore[method-assign]

    def cell(self, master: DictConfig, words: Sequence[str]) -> Cell:
        """The cell of these words, checked when it is composed. Raises ConfigError."""
        if tuple(words) not in self.known:
            # a sweeper may leave out the quotes of a path
            composed = self.compose(master, [literal(word, sweeps=False) for word in words])
            typed = from_hydra(composed)
            name, above = folder_name(typed), Path(str(composed.hydra.sweep.dir)).expanduser()
            with open_dict(composed):
                OmegaConf.update(composed, "hydra.sweep.subdir", name)
                OmegaConf.update(composed, "hydra.sweep.dir", str(above.absolute()))  # a worker may start in another folder
            cell = Cell(tuple(words), typed, above / name)
            new_folders.update(absent(cell.folder))
            self.known[tuple(words)] = cell, composed
            self.cells.append(cell)
        return self.known[tuple(words)][0]

    def __call__(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        words = tuple(sweep_overrides)
        self.cell(master_config, words)
        composed = self.known[words][1]
        if words not in self.shown:  # Hydra's sweeper only looks whether it can be composed
            self.shown.add(words)
            return composed
        return copy.deepcopy(composed)

    def __getstate__(self) -> dict[str, Any]:
        return {"compose": self.compose, "cells": [], "known": {}, "shown": set()}
