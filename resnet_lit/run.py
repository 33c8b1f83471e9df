"""One run from typed config to record: claim the folder, train, and record the outcome.

    from resnet_lit.config import load
    from resnet_lit.run import run
    record = run(load("+experiment=digits"))

Runs are idempotent: a finished one returns its record at once, an interrupted or failed one is resumed from its last checkpoint.
torch is imported only when there is something to train.
"""

from __future__ import annotations

import logging
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from resnet_lit import claim, crashes, own_files, planning, same_run
from resnet_lit import record as records
from resnet_lit.callbacks.interrupt import Interrupt, Interrupted
from resnet_lit.config import OUTPUTS, folder_name
from resnet_lit.data.errors import Progress, now_and_then
from resnet_lit.display import ConsoleHandler, Display
from resnet_lit.durable import write_text
from resnet_lit.heartbeat import Heartbeat
from resnet_lit.identity import identity
from resnet_lit.interpreter import call
from resnet_lit.own_files import absent
from resnet_lit.plugins import source_of
from resnet_lit.record import Busy, FolderError, Record
from resnet_lit.resuming import config_of, resumed
from resnet_lit.schema import Config, to_mapping
from resnet_lit.typed import Refused

log = logging.getLogger("resnet_lit")


def run(
    config: Config,
    folder: str | Path | None = None,
    *,
    command: str | None = None,
    known_as: str | None = None,
    new: Iterable[Path] = (),
) -> Record:
    """Train what `config` says, or return the record of an earlier run that has ended.

    folder: default outputs/<experiment>/<readable>-<identity>. command: the command line, for the record. known_as: the identity
    that the folder's record gives, for a run that is resumed there. new: folders that were made for this run already; a refused
    run removes them again, like those that it makes.
    Returns the record (docs/record.md); a run that failed or diverged is a record too. Raises Refused (config, data or folder
    cannot be used; nothing was trained), Busy (another process trains this run, or has taken it over), Interrupted (a signal
    ended it; the record is written and the same call resumes it).
    """
    folder = Path(folder) if folder is not None else Path(OUTPUTS) / folder_name(config)
    if is_helper_process():
        with Interrupt().ignored() as interrupt:
            return _train(config, folder, {"hardware": {}, "identity": known_as or identity(config)}, interrupt)
    known_as = known_as or identity(config)
    if config.is_debug:
        own_files.check_debug(folder)
    elif (done := earlier(config, folder, known_as)) is not None:
        if lacks_views(config, done):
            command = reading_views(config, folder)
            log.warning("evaluation.tta=%s: this run has ended and was not tested so; %s does", config.evaluation.tta, command)
        return done
    new, before = {*new, *absent(folder)}, set[Path]()
    try:
        before = set(folder.iterdir()) if folder.exists() else before
        planning.check_run(config, folder)
        folder.mkdir(parents=True, exist_ok=True)
        with (
            records.lock(folder) as heart,
            _logging_to(folder / records.LOG, heart),
            Interrupt().installed() as interrupt,
        ):
            if config.is_debug:
                own_files.clear_debug(folder)
                claim.check(folder, config)
                own_files.mark_debug(folder, config)
            elif (done := _ended(folder)) is not None:  # while this process was waiting for the lock
                return done
            else:
                claim.check(folder, config)
                own_files.unmark(folder)
            return _train(config, folder, _start(config, folder, command, known_as), interrupt, heart)
    except OSError as error:
        why = error.strerror or error
        raise FolderError(f"{folder}: cannot be written ({why}); choose another folder with hydra.run.dir=<folder>") from error
    except (Refused, Interrupted):
        if not (folder / records.RESULT).exists():
            own_files.leave_as_found(folder, before, new)
        raise


def resume(
    folder: str | Path, *, max_epochs: int | None = None, new_folder: str | Path | None = None, command: str | None = None
) -> Record:
    """Resume the run in `folder`, or that of a checkpoint's path, with its own config; or train a finished one for more epochs.

    max_epochs: epochs in all, above those of the finished run in `folder`, which stays as it is: the record is that of a new run.
    new_folder: of that run; default outputs/<experiment>/<readable>-<identity>. Raises as `run`.
    """
    changes = {} if max_epochs is None else {"trainer.max_epochs": max_epochs}
    config, folder, known_as = resumed(folder, changes, new_folder)
    return run(config, folder, command=command, known_as=known_as)


def is_helper_process() -> bool:
    """Whether Lightning has started this process for DDP: the first one owns the folder, the lock and the record."""
    return int(os.environ.get("LOCAL_RANK", 0)) > 0 or int(os.environ.get("NODE_RANK", 0)) > 0


def earlier(
    config: Config, folder: Path, known_as: str | None = None, seen: dict[Any, tuple[str, str] | None] | None = None
) -> Record | None:
    """The record of a run that has ended, None where there is something left to train.

    seen: data that were looked at before, by where they lie: a multirun asks once for all its cells, not once for each. Puts the
    folder aside where `fresh` says so. Raises FolderError where it holds another run, or the same on other data; Busy where
    another process trains it.
    """
    if config.fresh and claim.is_of_a_run(folder):
        if records.is_held(folder):
            raise Busy(records.busy_text(folder))
        log.info("the earlier run is set aside: %s", records.set_aside(folder))
        return None
    found = records.read(folder)
    if found is None:
        return None
    if not isinstance(found.get("config"), dict) or "identity" not in found:
        raise FolderError(
            f"{folder / records.RESULT}: not a record of a run; use another folder, or set the earlier run aside with fresh=true"
        )
    ended = found["status"] in records.ENDED
    if found["identity"] != known_as or not ended:
        same_run.check_fixes(config, folder, found["identity"])
    if found["identity"] != (known_as or identity(config)):
        changed = same_run.changes(found["config"], config) or "the version of its results"
        raise FolderError(f"{folder}: holds another run, which differs in {changed}; {same_run.REMEDY}")
    _check_data(config, folder, found, {} if seen is None else seen)
    if found["status"] == "running" and records.is_held(folder):  # a record of another host may be that of a dead process
        raise Busy(records.busy_text(folder))
    return found if ended else None


def lacks_views(config: Config, done: Record | None) -> bool:
    """Whether a run has finished without the test-time augmentation that its config now asks for."""
    tta = config.evaluation.tta
    return tta != "none" and done is not None and done["status"] == "finished" and done.get("tta") != tta


def reading_views(config: Config, folder: Path) -> str:
    """The command that reads a finished run with test-time augmentation: nothing is trained for that."""
    return call("resnet_lit.evaluate", f"run={folder}", f"evaluation.tta={config.evaluation.tta}")


def _ended(folder: Path) -> Record | None:
    found = records.read(folder)
    return found if found is not None and found["status"] in records.ENDED else None


def have_data(runs: Iterable[tuple[Config, Path]], say: Callable[[str], object]) -> None:
    """Decode, or download, what the runs that are left need, before the first of them starts. Raises DataError, once for all."""
    seen: dict[Any, tuple[str, str] | None] = {}
    for config, folder in runs:
        if config.fresh or config.is_debug or _ended(folder) is None:
            _data_of(config, seen, download=True, progress=now_and_then(say))


def _check_data(config: Config, folder: Path, found: Record, seen: dict[Any, tuple[str, str] | None]) -> None:
    """Refuse a folder whose run saw other data than `data.root` now names; where it names none, the record stands."""
    known = _data_of(config, seen) if "data" in found else None
    if known is not None and known[1] != found["data"]["hash"]:
        raise FolderError(
            f"{folder}: was trained on other data ({found['data']['variant']} {found['data']['hash'][:10]}, data.root now names "
            f"{known[0]} {known[1][:10]}); use another folder, another name=…, or set the earlier run aside with fresh=true"
        )


def _data_of(
    config: Config,
    seen: dict[Any, tuple[str, str] | None],
    *,
    download: bool = False,
    progress: Progress | None = None,
) -> tuple[str, str] | None:
    """Variant and hash of a run's data, which are decoded where they never were; None where they are not here yet."""
    from resnet_lit.data import sources  # NumPy and Pillow: a quarter of the time of an answer that needs neither
    from resnet_lit.data.paths import request

    asked = request(config.data)
    where = tuple(asked.values())
    if where not in seen:
        seen[where] = sources.identify(**asked)
    if seen[where] is None and (asked["root"] is not None or download):
        source = sources.load(**asked, progress=progress or now_and_then(log.info))
        seen[where] = source.variant, source.hash
    return seen[where]


def _start(config: Config, folder: Path, command: str | None, known_as: str) -> Record:
    """The record as it stands when training starts."""
    before = (records.read(folder) or {}) if not config.is_debug else {}
    targets = [config.model.target, config.augment.target, config.optimizer.target, config.scheduler.target]
    targets += [entry["_target_"] for entry in (*config.callbacks.values(), *config.logger.values()) if entry]
    record: Record = {
        "status": "running",
        "reason": None,
        "identity": known_as,
        "name": config.name,
        "label": config.label,
        "debug": config.is_debug,
        "scale": config.scale,
        "command": command,
        "config": to_mapping(config),
        "seed": config.seed,
        "protocol": config.protocol,
        "process": records.process(),
        "started": before.get("started") or records.now(),
        "sessions": [*before.get("sessions", []), records.now()],
        "ended": None,
        "git": records.git(),
        "versions": records.versions(),
        "hardware": records.hardware(),
        "sources": {
            "resnet_lit": records.source_hash(),
            **{
                target: source_of(target)
                for target in targets
                if target.split(".")[0] not in ("resnet_lit", "torch", "lightning")
            },
        },
    }
    if config.parent.checkpoint is not None:
        record["parent"] = record["config"]["parent"]
        before = before or records.read(str(config.parent.folder)) or {}
    if "threads" in before:
        record["threads"] = before["threads"]  # another number would give other last bits
    return record


def _train(config: Config, folder: Path, record: Record, interrupt: Interrupt, heart: Heartbeat | None = None) -> Record:
    """Train and write down how it ended. Until `begin` is called nothing is written: what is refused leaves no trace."""
    with Display("none" if is_helper_process() else config.progress) as display:
        return _train_shown(config, folder, record, interrupt, heart, display)


def _train_shown(
    config: Config, folder: Path, record: Record, interrupt: Interrupt, heart: Heartbeat | None, display: Display
) -> Record:
    from resnet_lit.data.paths import are_there

    if heart is not None and not are_there(config.data):  # what leads nowhere is refused before seconds of imports
        _data_of(config, {}, download=True, progress=display.progress())
    with display.during("loading PyTorch"):
        from resnet_lit import training  # torch and Lightning: seconds, and only now is it sure that they are needed
        from resnet_lit.callbacks.heartbeat import Beat
        from resnet_lit.callbacks.metrics import Diverged
        from resnet_lit.checkpoints import tidy

    begun, crash = False, ExitStack()

    def hold() -> None:
        if heart is not None:
            records.check_hold(folder, heart)

    def begin() -> None:
        nonlocal begun
        if not is_helper_process():
            hold()
            crash.enter_context(crashes.noted_in(folder / records.LOG))
            write_text(folder / "config.yaml", yaml.safe_dump(record["config"], sort_keys=False), hold)
            records.write(folder, record, hold)
            begun = True

    try:
        training.train(config, folder, record, interrupt, begin, [] if heart is None else [Beat(heart, hold)], display, hold)
        hold()
        record["status"] = "finished"
    except Busy:
        raise
    except Diverged as error:
        hold()
        record["status"], record["reason"] = "diverged", str(error)
        log.error("diverged: %s", error)
    except Interrupted as error:
        record["status"], record["reason"] = "interrupted", str(error)
        raise
    except Refused as error:
        record["status"], record["reason"] = "failed", str(error)  # written only where training had begun
        raise
    except Exception as error:
        hold()  # another process at work in the folder may be the cause
        record["status"], record["reason"] = "failed", reason_of(error, config)
        log.error("%s", traceback.format_exc())
    except SystemExit as error:  # Lightning's own way to end on SIGTERM, whose status would read as success
        record["status"], record["reason"] = "interrupted", "ended by SIGTERM"
        raise Interrupted(signal.SIGTERM) from error
    finally:
        record["ended"] = records.now()
        crash.close()
        if begun and (heart is None or heart.holds()):
            record |= records.write(folder, record, hold)
    if begun and record["status"] == "finished" and not config.is_debug:
        tidy(folder, config.checkpoint.keep)  # the record first: a run without it would have to be trained again
    return record


def reason_of(error: Exception, config: Config) -> str:
    """One line of an exception; with a remedy where memory, on the device or here, was not enough."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    size = config.data.batch_size
    allocator = "alloc" in text and "memory" in text  # torch has an exception of its own on devices alone
    if size > 1 and (isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or allocator):
        return f"out of memory (try a smaller data.batch_size, {size // 2} for instance): {text}"
    return text


@contextmanager
def _logging_to(path: Path, heart: Heartbeat) -> Iterator[None]:
    """Append what is logged to the run's train.log, as long as the folder is this process's to write in."""
    handler = logging.FileHandler(path, delay=True)
    handler.addFilter(lambda _: heart.holds())
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    root = logging.getLogger()
    added: list[logging.Handler] = [handler] if root.handlers else [handler, ConsoleHandler()]  # called from Python
    log.setLevel(logging.INFO)
    for one in added:
        root.addHandler(one)
    try:
        yield
    finally:
        for one in added:
            root.removeHandler(one)
        handler.close()


__all__ = ["Busy", "Interrupted", "Refused", "config_of", "earlier", "resume", "run"]
