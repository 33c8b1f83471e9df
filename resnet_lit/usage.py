"""What `--help` says: the groups, and every value with its meaning. Hydra's own page takes twice as long and has no meanings."""

from __future__ import annotations

from pathlib import Path

from resnet_lit import paper
from resnet_lit.command_line import CommandLine
from resnet_lit.config import ADDED_GROUPS, CONF, compose
from resnet_lit.printable import printable
from resnet_lit.schema import Config
from resnet_lit.typed import flatten, keys_of, show

HEAD = "resnet_lit: experiments with small residual networks"
EXAMPLES = """\
python -m resnet_lit.train +experiment=model4                          one run
python -m resnet_lit.train +experiment=model4 optimizer=adam seed=1    change groups and values
python -m resnet_lit.train -m +experiment=model4 data.batch_size=32,64,128 optimizer=sgd,sgd_momentum,adam
                                                                       every combination
python -m resnet_lit.train +sweep=paper sweep.seeds=5                  all runs of the paper, five seeds each
python -m resnet_lit.train +sweep=paper +scale=smoke                   the same in minutes, to see that everything runs
python -m resnet_lit.train +experiment=model4 --cfg job --resolve      show the config, train nothing
python -m resnet_lit.summary +experiment=model4                        the layers and their cost
python -m resnet_lit.plan +experiment=model4                           what the run will cost here
python -m resnet_lit.sweep status                                      how the runs below outputs/ stand
python -m resnet_lit.report outputs                                    what they say, with intervals over seeds, beside the paper

docs/configuration.md has types and ranges; --hydra-help is Hydra's own page."""
WIDTH = 44


def usage(line: CommandLine) -> str:
    """The page, for the config that the command line's overrides compose. Raises ConfigError where they do not fit."""
    config = compose(line.overrides, line.source)
    lines = [HEAD, "", "Groups: choose with group=name, those with a plus as +group=name", ""]
    for group, names in groups(line.source.directory).items():
        lines.append(f"  {'+' if group in ADDED_GROUPS else ''}{group}: {', '.join(names)}")
    lines += ["", "Values: change with key=value", ""]
    values = flatten(config)
    for key, field in keys_of(Config).items():
        # a free group that holds nothing has a key alone
        value = f"{key}={printable(show(values[key])) or 'null'}" if key in values else f"{key}.…"
        lines.append(f"  {value:{WIDTH}} {field.metadata['meaning']}")
    return "\n".join([*lines, "", EXAMPLES])


def groups(directory: str | None = None) -> dict[str, list[str]]:
    """The groups of conf/, and of a folder of the user's own, each with the names that can be chosen."""
    found: dict[str, set[str]] = {"cell": {cell.name for cell in paper.CELLS}}
    for root in (CONF, *([Path(directory)] if directory is not None else [])):
        for path in sorted(root.glob("*/*.yaml")):
            found.setdefault(path.parent.name, set()).add(path.stem)
    return {group: sorted(names) for group, names in sorted(found.items()) if group != "hydra"}
