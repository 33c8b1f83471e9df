"""Weights & Biases: the numbers and pictures of TensorBoard there, without network unless asked for."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import WandbLogger

from resnet_lit.callbacks.loggers import need

RUN_ID = ".wandb_id"  # in the run's folder, so that a resumed run is the same run there


class WeightsAndBiases(WandbLogger):
    """Lightning's WandbLogger for one run folder: named as the folder, one run however often it is resumed.

    save_dir: the run's folder. offline: nothing is sent; `wandb sync <folder>/wandb/offline-run-*` does that later. W&B drops
    what is logged again for a step that it has seen.
    """

    def __init__(self, save_dir: str | Path, project: str = "resnet_lit", offline: bool = True, **options: Any) -> None:
        need("wandb", "wandb")
        folder = Path(save_dir)
        known = folder / RUN_ID
        self._new_id = None if known.exists() else uuid.uuid4().hex[:8]
        run_id = self._new_id or known.read_text().strip()
        self._folder = folder
        import wandb

        quiet = wandb.Settings(silent=True, console="off")  # what it would print is in the run's own log
        options = {"name": f"{folder.parent.name} {folder.name}", "id": run_id, "resume": "allow", "settings": quiet, **options}
        super().__init__(save_dir=str(folder), project=project, offline=offline, **options)

    def start(self, values: dict[str, Any], metrics: list[str]) -> None:
        """Open the run there and say what it is."""
        if self._new_id is not None:
            (self._folder / RUN_ID).write_text(self._new_id)
        self.experiment.config.update(values, allow_val_change=True)

    def image(self, tag: str, image: torch.Tensor, step: int) -> None:
        """One picture. image: (3, H, W) uint8."""
        self.log_image(tag, [image.permute(1, 2, 0).numpy()], step=None)

    def finish(self, results: dict[str, float], step: int) -> None:
        """The final metrics, as the run's summary."""
        self.experiment.summary.update(results)

    def close(self) -> None:
        """Nothing more will come."""
        self.experiment.finish()

    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Nothing: `start` has said them."""
