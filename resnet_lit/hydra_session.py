"""A Hydra of our own beside one that may be running: where the package's configs lie, and how others are added to them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from resnet_lit import composing, paper
from resnet_lit.command_line import PACKAGE, Source

_PACKAGE = Path(__file__).resolve().parent
# In a repository conf/ lies beside the package, in an installed wheel inside it.
CONF = next((p for p in (_PACKAGE.parent / "conf", _PACKAGE / "conf") if (p / "config.yaml").is_file()), _PACKAGE / "conf")

composing.speed_up()

# The cells of the paper, as files of the group `cell` would be, and their names for the sweep over all of them.
for _cell in paper.CELLS:
    ConfigStore.instance().store(_cell.name, _cell.config, group="cell", package="_global_", provider="resnet_lit.paper")
OmegaConf.register_new_resolver("paper_cells", lambda: ",".join(cell.name for cell in paper.CELLS), replace=True)


def source_of(hydra: Any) -> Source:
    """Where a composed config was read from, by its hydra node: for another process, which is to read the same."""
    read = {
        str(source.provider): f"{'pkg://' if source.schema == 'pkg' else ''}{source.path}"
        for source in hydra.runtime.config_sources
    }
    main = read.get("main", str(CONF))
    name = str(hydra.job.config_name)
    is_ours = main == str(CONF) or not ("://" in main or os.path.isfile(os.path.join(main, f"{name}.yaml")))  # another machine's
    return Source(read.get("command-line"), name, None if is_ours else main)


def own_presets() -> None:
    """Let a preset of ours stand where a plugin brings a schema of the same name (hydra/sweeper=optuna): Hydra refuses both."""
    Plugins.instance()  # they register when they are found
    for group in ("launcher", "sweeper"):
        known = ConfigStore.instance().repo.get("hydra", {}).get(group, {})
        for path in (CONF / "hydra" / group).glob("*.yaml"):
            known.pop(path.name, None)


@contextmanager
def own_hydra(source: Source = PACKAGE) -> Iterator[Hydra]:
    """Compose beside a Hydra that may be running already (a notebook, a job), and leave it as it was."""
    state = GlobalHydra.instance()
    running = state.hydra
    state.clear()
    own_presets()
    version.setbase("1.3")
    path = source.path or str(CONF)
    searched = create_config_search_path(path if "://" in path else os.path.abspath(path))
    if source.directory is not None:  # as Hydra's command adds it; a path needs no quoting there
        folder = f"file://{os.path.abspath(source.directory)}"
        searched.prepend("command-line", folder, SearchPathQuery(provider="schema"))
    try:
        yield Hydra.create_main_hydra2(task_name="train", config_search_path=searched)
    finally:
        state = GlobalHydra.instance()
        state.clear()
        if running is not None:
            state.initialize(running)
