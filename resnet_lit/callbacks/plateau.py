"""ReduceLROnPlateau at the end of an epoch, before its checkpoint."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from resnet_lit.callbacks.metrics import Metrics
from resnet_lit.typed import ConfigError


class Plateau(Callback):
    """Tells ReduceLROnPlateau how the epoch went. Lightning would do so after the epoch's checkpoint, and a run resumed from
    there would have missed it; `optim.build` asks it not to.

    What is monitored is a metric of the run, the last one where epochs are not all evaluated. Raises ConfigError where the run
    has no such metric.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for config in trainer.lr_scheduler_configs:
            if not isinstance(config.scheduler, ReduceLROnPlateau):
                continue
            latest = self.metrics.latest
            if config.monitor in latest:
                config.scheduler.step(latest[config.monitor])
            elif self.metrics.evaluated_at is not None or not trainer.val_dataloaders:
                names = ", ".join(name for name in latest if not name.startswith("perf/") and name != "lr")
                raise ConfigError(f"scheduler.args.monitor={config.monitor}: no metric of this run (choose one of {names})")
