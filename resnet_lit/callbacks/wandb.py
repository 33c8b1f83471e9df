"""Weights & Biases: the numbers and pictures of TensorBoard there, without network unless asked for."""

from __future__ import annotations

import csv
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from resnet_lit.callbacks.images import AUGMENTED
from resnet_lit.callbacks.loggers import need
from resnet_lit.printable import printable
from resnet_lit.record import METRICS

RUN_ID = ".wandb_id"  # in the run's folder, so that a resumed run is the same run there
NOT_LOGGED = ("step", "epoch", "perf/seconds")  # columns of metrics.csv alone


class WeightsAndBiases(WandbLogger):
    """Lightning's WandbLogger for one run folder: named as the folder, one run however often it is resumed.

    save_dir: the run's folder. offline: nothing is sent; `wandb sync <folder>/wandb/offline-run-*` does that later. Offline, a
    resumed run goes on in one new session, which begins with what counts of the earlier ones; they are removed, because a second
    one sent would replace the first there. Online, W&B drops what is logged again for a step that it has seen.
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
        options = {
            "name": printable(f"{folder.parent.name} {folder.name}"),
            "id": run_id,
            "resume": "allow",
            "settings": quiet,
            **options,
        }
        super().__init__(save_dir=str(folder), project=project, offline=offline, **options)

    def start(self, values: dict[str, Any], metrics: list[str]) -> None:
        """Open the run there and say what it is."""
        earlier = [] if self._new_id is not None else sorted((self._folder / "wandb").glob(f"offline-run-*-{self.version}"))
        pictures = [picture for session in earlier for picture in session.glob(f"files/media/images/{AUGMENTED}_*.png")][:1]
        images = [np.asarray(Image.open(picture)) for picture in pictures]
        if self._new_id is not None:
            (self._folder / RUN_ID).write_text(self._new_id)
        self.experiment.config.update(values, allow_val_change=True)
        if not earlier:
            return
        self._tell_again(images)
        for session in earlier:
            if session != Path(self.experiment.dir).parent:  # begun within the same second, it has the same name
                shutil.rmtree(session)

    def _tell_again(self, images: list[np.ndarray]) -> None:
        """What metrics.csv has kept of the earlier sessions, and their first picture."""
        rows = self._folder / METRICS
        if not rows.exists():
            return
        if images:
            self.log_image(AUGMENTED, images, step=0)
        with rows.open(newline="") as file:
            for row in csv.DictReader(file):
                logged = {name: float(value) for name, value in row.items() if value and name not in NOT_LOGGED}
                self.log_metrics(logged, int(row["step"]))

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """One row of numbers; W&B's own step is the run's, so that it knows what it has seen."""
        self.experiment.log({**metrics, "trainer/global_step": step or 0}, step=step or 0)

    def image(self, tag: str, image: torch.Tensor, step: int) -> None:
        """One picture. image: (3, H, W) uint8."""
        self.log_image(tag, [image.permute(1, 2, 0).numpy()], step=step)

    def finish(self, results: dict[str, float], step: int) -> None:
        """The final metrics, as the run's summary."""
        self.experiment.summary.update(results)

    def close(self) -> None:
        """Nothing more will come."""
        self.experiment.finish()

    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Nothing: `start` has said them."""
