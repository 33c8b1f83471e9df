"""TensorBoard: one event file a run, HParams with the final metrics, nothing written twice when a run is resumed."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.metadata import create_summary_metadata, parse_experiment_plugin_data
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

from resnet_lit import event_file

log = logging.getLogger("resnet_lit")

PATTERN = "events.out.tfevents.*"
OLD = ".old"  # its events are being copied
DAMAGED = "damaged_events"  # TensorBoard reads what has tfevents in its name, and would show its events twice
HEAD_BYTES = 100_000  # of an event file: what a run tells HParams when it begins is in them
# Training and evaluation in one chart, on the page Custom Scalars.
LAYOUT = {
    "curves": {
        "accuracy": ["Multiline", ["^train/accuracy_epoch$", "^(val|test)/accuracy$"]],
        "loss": ["Multiline", ["^train/loss_epoch$", "^(val|test)/loss$"]],
    }
}
# What sweeps differ in: HParams shows five columns, those that differ first, and takes the word of the first run for which do.
SWEPT = ("batch_size", "dropout", "model", "optimizer", "seed")


class TensorBoard(TensorBoardLogger):
    """Lightning's TensorBoardLogger, writing straight into the run's folder, so that TensorBoard's run is the folder's name.

    save_dir: the run's folder. keep: how many bytes of what earlier sessions wrote count (None: nothing); the run goes on in one
    new file, which begins with them; of a damaged file, with those that can be read. earlier: the file's name, where the
    checkpoint says it. hold: raises where the folder is no longer this process's to write in.
    """

    def __init__(self, save_dir: str | Path, keep: int | None = None, earlier: str | None = None) -> None:
        super().__init__(save_dir=str(save_dir), name="", version="", default_hp_metric=False)
        self._keep, self._earlier = keep, earlier
        self._path = Path()  # of the event file, once there is one
        self.hold: Callable[[], None] = lambda: None

    def start(self, values: dict[str, Any], metrics: list[str]) -> None:
        """Open the event file, with what counts of earlier sessions, and announce the run to HParams.

        values: what the run is, flat; a name must have one type in all runs. metrics: the tags of its final results.
        """
        folder = Path(self.save_dir)
        files = sorted(folder.glob(PATTERN))
        own = [path for path in files if path.name.removesuffix(OLD) == self._earlier or _is_of_a_run(path)]
        if stale := [path for path in own if path.suffix == OLD]:  # a session was killed while it copied: the old files count
            for copy in set(files).difference(stale):
                if _is_of_a_run(copy, torn=True):
                    copy.unlink()
            own = [path.rename(path.with_suffix("")) for path in stale]
        renamed = [path.rename(path.with_name(path.name + OLD)) for path in own]
        others = set(folder.glob(PATTERN))
        writer = self.experiment
        (self._path,) = set(folder.glob(PATTERN)) - others
        damage = {path: self._copy(path, self._keep) for path in renamed} if self._keep is not None else {}
        if self._keep is None or not renamed:
            for summary in announcement(values, metrics):
                writer.file_writer.add_summary(summary, 0)
            writer.add_custom_scalars(LAYOUT)
        if self._keep and not renamed:
            log.warning("%s: the event file of the earlier sessions is gone; TensorBoard's curves begin here", folder)
        writer.flush()
        for path in renamed:
            if damage.get(path) is None:
                path.unlink()
            else:
                kept = path.rename(_free(folder / DAMAGED))
                log.warning(
                    "%s: %s; the new file has the other events, metrics.csv all numbers; the damaged file is kept as %s",
                    path.with_suffix("").name,
                    damage[path],
                    kept,
                )

    def _copy(self, path: Path, size: int) -> str | None:
        """Write the events in the first `size` bytes of a file into the new one; what of them could not be read, in words."""
        found = event_file.read(path.read_bytes(), size)
        for raw in found.contents:
            event = Event.FromString(raw)
            if event.WhichOneof("what") != "file_version":  # the new file has one already, of the same length
                self.experiment.file_writer.event_writer.add_event(event)
        return found.damage

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """One row of numbers, at a step."""
        self.hold()
        super().log_metrics(metrics, step)

    def flushed(self) -> Path:
        """The event file, with everything in it that has been logged."""
        self.experiment.flush()
        return self._path

    def finish(self, results: dict[str, float], step: int) -> None:
        """The final metrics, as scalars and as the end of the HParams session."""
        self.log_metrics(results, step)
        self.experiment.file_writer.add_summary(hparams({}, {})[2], step)
        self.experiment.flush()

    def image(self, tag: str, image: torch.Tensor, step: int) -> None:
        """Add one picture. image: (3, H, W) uint8."""
        self.hold()
        self.experiment.add_image(tag, image, step)

    def finalize(self, status: str) -> None:
        """Lightning calls this after every fit, validate and test; closing would begin a second event file."""
        self.experiment.flush()

    def close(self) -> None:
        """Nothing more will come."""
        self.experiment.close()

    def save(self) -> None:
        """Nothing: Lightning would write hparams.yaml; the config is in config.yaml."""
        self.experiment.flush()

    def log_hyperparams(self, params: Any = None, metrics: Any = None, step: int | None = None) -> None:
        """Nothing: `start` has told HParams."""


def _is_of_a_run(path: Path, *, torn: bool = False) -> bool:
    """Whether a run has written an event file: what others have put in its folder is never deleted.

    A run's begins with its page of charts; one that was killed before it had written that has no event. torn: its process was
    killed while it wrote the file.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if LAYOUT["curves"]["accuracy"][1][0].encode() in head:
        return True
    found = event_file.read(head, len(head))
    whole = torn or found.damage is None
    return whole and len(head) < HEAD_BYTES and all(b"brain.Event:" in content for content in found.contents)


def _free(path: Path) -> Path:
    """`path`, or the first of `<path>.1`, `<path>.2`, … where something is called that already."""
    names = itertools.chain([path.name], (f"{path.name}.{number}" for number in itertools.count(1)))
    return next(free for name in names if not (free := path.with_name(name)).exists())


def announcement(values: dict[str, Any], metrics: list[str]) -> list[Summary]:
    """What HParams is told when a run begins: the columns of its table, and the run's values."""
    columns, start, _ = hparams(values, dict.fromkeys(metrics, 0.0))
    metadata = columns.value[0].metadata
    experiment = parse_experiment_plugin_data(metadata.plugin_data.content)
    for column in experiment.hparam_infos:
        column.differs = column.name in SWEPT
    for metric in experiment.metric_infos:
        metric.display_name = metric.name.tag.removeprefix("result/").replace("/", " ").replace("_", " ")
    metadata.CopyFrom(create_summary_metadata(HParamsPluginData(experiment=experiment)))
    return [columns, start]
