"""Event files read back: one a run, each step once whenever it was killed; what HParams is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams.metadata import EXPERIMENT_TAG, SESSION_START_INFO_TAG, parse_experiment_plugin_data
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data as parse_start
from tests_support import TINY

from resnet_lit.callbacks.tensorboard import DAMAGED, PATTERN, SWEPT, TensorBoard, announcement
from resnet_lit.config import load
from resnet_lit.training import _hparams


def steps(folder: Path, tag: str) -> list[int]:
    (path,) = folder.glob(PATTERN)
    return [event.step for event in EventFileLoader(str(path)).Load() for value in event.summary.value if value.tag == tag]


@pytest.mark.parametrize("moment", ["while training", "between renaming and copying", "while copying"])
def test_a_killed_run_goes_on_in_one_file_with_each_step_once(moment, tmp_path) -> None:
    first = TensorBoard(tmp_path)
    first.start({"seed": 0}, ["result/x"])
    for step in (1, 2):
        first.log_metrics({"loss": 1.0}, step)
    keep = first.flushed().stat().st_size  # as the checkpoint of step 2 notes
    first.log_metrics({"loss": 1.0}, 3)
    first.close()
    if moment != "while training":
        (whole,) = tmp_path.glob(PATTERN)
        whole.rename(f"{whole}.old")
    if moment == "while copying":
        (tmp_path / "events.out.tfevents.9").write_bytes(b"cut short")
    second = TensorBoard(tmp_path, keep)
    second.start({"seed": 0}, ["result/x"])
    second.log_metrics({"loss": 1.0}, 3)
    second.finish({"result/x": 0.5}, 3)
    second.close()
    assert steps(tmp_path, "loss") == [1, 2, 3]
    assert steps(tmp_path, SESSION_START_INFO_TAG) == [0]


def test_damaged_events_are_told_and_the_old_file_stays(tmp_path, caplog) -> None:
    first = TensorBoard(tmp_path)
    first.start({"seed": 0}, ["result/x"])
    for step in range(300):
        first.log_metrics({"loss": 1.0}, step)
    path = first.flushed()
    first.close()
    keep, damaged = path.stat().st_size, bytearray(path.read_bytes())
    damaged[keep // 20] ^= 1
    path.write_bytes(damaged)
    second = TensorBoard(tmp_path, keep)
    second.start({"seed": 0}, ["result/x"])
    second.close()
    assert len(steps(tmp_path, "loss")) == 299
    assert (tmp_path / DAMAGED).read_bytes() == damaged
    assert f"{path.name}: damaged in 1 place" in caplog.text
    assert f"the damaged file is kept as {tmp_path / DAMAGED}" in caplog.text
    assert not [file for file in tmp_path.iterdir() if file.name != second.flushed().name and "tfevents" in file.name]


def test_hparams_has_one_set_of_columns_in_all_runs() -> None:
    outcome = {"data": {"variant": "digits"}, "model": {"parameters": 1454}}
    words = [(), ("optimizer=adam", "model.dropout=0.25", "seed=1"), ("trainer.max_epochs=null", "trainer.max_steps=3")]
    columns, starts = [], []
    for chosen in words:
        experiment, start = announcement(_hparams(load(*TINY, *chosen), outcome), ["result/test/accuracy_last"])
        columns.append(parse_experiment_plugin_data(experiment.value[0].metadata.plugin_data.content))
        starts.append(parse_start(start.value[0].metadata.plugin_data.content))
        assert experiment.value[0].tag == EXPERIMENT_TAG
    assert columns[0] == columns[1] == columns[2]
    assert {column.name for column in columns[0].hparam_infos if column.differs} == {*SWEPT}
    assert [metric.display_name for metric in columns[0].metric_infos] == ["test accuracy last"]
    kinds = [{name: value.WhichOneof("kind") for name, value in start.hparams.items()} for start in starts]
    assert kinds[0] == kinds[1] == kinds[2]
    assert kinds[0].keys() == {column.name for column in columns[0].hparam_infos}


def test_event_files_of_others_stay(tmp_path) -> None:
    """Another program's, readable or not; the run's own of a session that was killed is replaced."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as other:
        other.add_scalar("loss", 7.0, 1)
    (tmp_path / "events.out.tfevents.mine").write_text("notes")
    others = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for keep in (None, 0):
        logger = TensorBoard(tmp_path, keep)
        logger.start({"seed": 0}, ["result/x"])
        own = logger.flushed()
        logger.close()
        assert set(tmp_path.iterdir()) == {*others, own}
    assert all(path.read_bytes() == content for path, content in others.items())


def test_a_damaged_head_is_still_the_runs_own_where_the_checkpoint_names_the_file(tmp_path, caplog) -> None:
    first = TensorBoard(tmp_path)
    first.start({"seed": 0}, ["result/x"])
    path = first.flushed()
    first.close()
    path.write_bytes(path.read_bytes().replace(b"train/accuracy_epoch", b"train/accuracy_epocj"))
    second = TensorBoard(tmp_path, path.stat().st_size, path.name)
    second.start({"seed": 0}, ["result/x"])
    second.close()
    assert {file.name for file in tmp_path.iterdir()} == {second.flushed().name, DAMAGED}
    assert f"{path.name}: damaged in 1 place" in caplog.text
