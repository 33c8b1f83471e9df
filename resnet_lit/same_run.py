"""Whether a run may be resumed from a checkpoint: it must be of the same run, on the same data, and metrics.csv must go with it.

No torch here: a checkpoint is what `checkpoints.load` has read of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resnet_lit.identity import FIXES, differences, identity, missing_fixes
from resnet_lit.record import ENDED, METRICS, FolderError, Record, checksum
from resnet_lit.schema import Config, from_mapping, to_mapping
from resnet_lit.typed import ConfigError, show

REMEDY = "use another folder, or set the earlier run aside with fresh=true"


def check_data(folder: Path, state: dict[str, Any], variant: str, data_hash: str) -> None:
    """Raise FolderError where the checkpoint `state` was trained on other data than those of `data_hash`."""
    if "written" not in state or "resnet_lit" not in state:
        raise FolderError(f"{folder}: its checkpoint was written by another program; {REMEDY}")
    there = state["resnet_lit"]["data"]
    if there["hash"] != data_hash:
        raise FolderError(
            f"{folder}: was begun on other data ({there['variant']} {there['hash'][:10]}, data.root now names "
            f"{variant} {data_hash[:10]}); use another folder, another name=…, or set the earlier run aside with fresh=true"
        )


def check(folder: Path, state: dict[str, Any], config: Config, outcome: Record, *, continues: bool = False) -> None:
    """Raise FolderError where the run in `folder` must not be resumed from the checkpoint `state`, with what differs.

    outcome: the record so far; gets `unverified` where nothing shows that the rows of metrics.csv are as they were written.
    continues: the checkpoint is that of the run's parent, which has rows of its own and another config.
    """
    if continues:
        folder = Path(str(config.parent.folder))
    else:
        _check_identity(folder, state["resnet_lit"], config, outcome["identity"])
    if (reason := _check_metrics(folder / METRICS, state["written"])) is not None:
        outcome["unverified"] = reason


def _check_identity(folder: Path, content: dict[str, Any], config: Config, known_as: str) -> None:
    """Raise FolderError where a checkpoint with this `content` is of another run than that of `config`, called `known_as`."""
    changed = changes(content["config"], config)
    if not changed and content["identity"] != known_as:
        check_fixes(config, folder, content["identity"])
    if changed or content["identity"] != known_as:
        raise FolderError(
            f"{folder}: its checkpoint is of another run, which differs in {changed or 'the version of its results'}; {REMEDY}"
        )


def _check_metrics(path: Path, written: dict[str, Any]) -> str | None:
    """Raise FolderError where the rows that the checkpoint has counted are not there as they were written.

    Returns why nothing shows that they are, of a checkpoint of an earlier version; None where its checksum does.
    """
    size, known = written["metrics"], written.get("metrics_sha256")
    have = path.stat().st_size if path.is_file() else 0
    remedy = "restore it, or start again with fresh=true (the earlier run and its checkpoints are set aside)"
    if have < size:
        what = f"is cut short ({have:,} of {size:,} bytes)" if path.is_file() else "is gone"
        raise FolderError(f"{path}: {what} since the checkpoint was written; {remedy}")
    if known is None:
        return f"resumed from a checkpoint without a checksum of {METRICS}" if size else None
    if checksum(path, size) != known:
        raise FolderError(f"{path}: was changed since the checkpoint was written (its checksum does not match); {remedy}")
    return None


def check_fixes(config: Config, folder: Path, known_as: str) -> None:
    """Raise FolderError where a run of this config, `known_as`, was begun before a correction that gives it other numbers."""
    if missing := missing_fixes(config, known_as):
        corrected = "; ".join(FIXES[name][1] for name in missing)
        raise FolderError(
            f"{folder}: its run began before a correction that changes its numbers ({corrected}); start it again "
            "in another folder, or here with fresh=true, which sets this run aside"
        )


def identity_of(folder: Path, config: Config, record: Record | None) -> str:
    """The identity under which the run in `folder` is resumed with `config`, which is that of its config.yaml.

    Raises FolderError where the record says another config, or where the run has not ended and was begun by a version of the
    package, or from `weights`, that gave other results.
    """
    if record is None or not isinstance(record.get("config"), dict) or "identity" not in record:
        return identity(config)  # the checkpoint's is compared with it
    known = str(record["identity"])
    if changed := changes(record["config"], config):
        raise FolderError(
            f"{folder / 'config.yaml'}: was changed since the run began: {changed}; change it back, or train the new values as "
            "a run of their own"
        )
    try:
        now = identity(config)
    except ConfigError:  # the file of `weights` is gone: a checkpoint stands for it
        return known
    if now != known and record["status"] not in ENDED:
        check_fixes(config, folder, known)
        raise FolderError(
            f"{folder}: was begun as {known}, and its config is {now} now: this version computes other results from it, or the "
            f"file of weights=… was changed; {REMEDY}"
        )
    return known


def changes(before: dict[str, Any], now: Config) -> str:
    """`optimizer.lr=0.5 (there: 0.02); seed=7 (there: 0)`: the values that change a result, where they differ."""
    try:
        old = from_mapping(before)
    except ConfigError:  # of another version, or edited: what it says cannot be compared by key
        return "" if before == to_mapping(now) else "values that this version does not know"
    return "; ".join(f"{key}={show(new)} (there: {show(was)})" for key, (was, new) in differences(old, now).items())
