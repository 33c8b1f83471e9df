"""Notices of libraries that say nothing that the record does not. Each is named; all other warnings stay."""

from __future__ import annotations

import logging
import warnings

from resnet_lit.schema import Config

NOTICES = (
    ".*number of training batches.*",
    ".*does not have many workers.*",
    ".*You requested to overfit.*",
    ".*Total length of `list` across ranks is zero.*",  # nothing is held out to validate on
    ".*was called before the ``update`` method.*",
    ".*The `srun` command is available.*",  # on a login node; a sweep uses SLURM by its launcher
    ".*Please use the new API settings to control TF32.*",  # torch 2.9 to 2.11, of what Lightning does
    ".*isinstance.treespec, LeafSpec.*",
)
LOGGED = {  # by logger
    "torch.utils.cpp_extension": "No CUDA runtime is found",  # while a CPU's code is compiled, where CUDA's compiler is installed
}


def quieten(config: Config) -> None:
    """Leave out NOTICES and LOGGED, and Lightning's tips."""
    for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.INFO if config.trainer.profiler else logging.WARNING)  # profilers log at INFO
    for text in NOTICES:
        warnings.filterwarnings("ignore", text)
    for name, text in LOGGED.items():
        logging.getLogger(name).addFilter(_Without(text))


class _Without(logging.Filter):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def filter(self, record: logging.LogRecord) -> bool:
        return self.text not in record.getMessage()

    def __eq__(self, other: object) -> bool:  # a logger takes equal filters once
        return isinstance(other, _Without) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)
