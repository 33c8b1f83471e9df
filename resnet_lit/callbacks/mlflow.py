"""MLflow: the numbers and pictures of TensorBoard there, in a local SQLite file unless a server is named."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from lightning.pytorch.loggers import MLFlowLogger

from resnet_lit.callbacks.loggers import need
from resnet_lit.printable import printable

SQLITE = "sqlite:///"
RUN_ID = ".mlflow_run_id"  # in the run's folder, so that a resumed run is the same run there


class MLflow(MLFlowLogger):
    """Lightning's MLFlowLogger for one run folder: named as the folder, one run however often it is resumed.

    save_dir: the run's folder. tracking_uri: a database, with the pictures beside it, or a server. What a resumed run logs again
    is left out.
    """

    def __init__(
        self, save_dir: str | Path, experiment_name: str = "resnet_lit", tracking_uri: str = "sqlite:///outputs/mlflow.db"
    ) -> None:
        need("mlflow", "mlflow")
        pictures = None
        self._alone: AbstractContextManager[Any] = nullcontext()
        if tracking_uri.startswith(SQLITE):
            database = Path(tracking_uri.removeprefix(SQLITE)).resolve()
            database.parent.mkdir(parents=True, exist_ok=True)
            pictures = (database.parent / "mlruns").as_uri()  # else wherever the command was typed
            self._alone = FileLock(f"{database}.lock")  # two runs that begin at once would both make the tables
        folder = Path(save_dir)
        known = folder / RUN_ID
        with self._alone:
            super().__init__(
                experiment_name=experiment_name,
                run_name=printable(f"{folder.parent.name} {folder.name}"),
                tracking_uri=tracking_uri,
                artifact_location=pictures,
                run_id=known.read_text().strip() if known.exists() else None,
            )
        self._folder = folder
        self._resumed, self._status = False, "KILLED"
        self._logged: dict[str, int] = {}  # the last step of each metric that an earlier session has logged

    def start(self, values: dict[str, Any], metrics: list[str]) -> None:
        """Open the run there and say what it is."""
        with self._alone:
            run_id = str(self.run_id)
        known = self._folder / RUN_ID
        if known.exists():
            self._resumed = True
            self.experiment.update_run(run_id, status="RUNNING")
        else:
            known.write_text(run_id)
            super().log_hyperparams(values)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """One row of numbers."""
        if self._resumed:
            metrics = {name: value for name, value in metrics.items() if (step or 0) > self._last_step(name)}
        if metrics:
            super().log_metrics(metrics, step)

    def _last_step(self, name: str) -> int:
        if name not in self._logged:
            history = self.experiment.get_metric_history(self.run_id, name)
            self._logged[name] = max((point.step for point in history), default=-1)
        return self._logged[name]

    def image(self, tag: str, image: torch.Tensor, step: int) -> None:
        """One picture. image: (3, H, W) uint8."""
        self.experiment.log_image(self.run_id, image.permute(1, 2, 0).numpy(), artifact_file=f"{tag}.png")

    def finish(self, results: dict[str, float], step: int) -> None:
        """The final metrics."""
        super().log_metrics(results, step)
        self._status = "FINISHED"

    def close(self) -> None:
        """Nothing more will come."""
        self.experiment.set_terminated(self.run_id, self._status)

    def finalize(self, status: str = "success") -> None:
        """Lightning calls this after every fit, validate and test; the run goes on."""

    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Nothing: `start` has said them."""
