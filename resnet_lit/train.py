"""Train one network, or every cell of a multirun.

python -m resnet_lit.train +experiment=model4
python -m resnet_lit.train -m +experiment=model4 data.batch_size=32,64,128 optimizer=sgd,sgd_momentum,adam
python -m resnet_lit.train resume=outputs/model4/<run>
python -m resnet_lit.train resume=outputs/model4/<run> trainer.max_epochs=400        a finished run, for more epochs

Exit status: 0 finished (now or earlier), 1 failed or diverged, 2 refused before training, 75 another process trains this run,
130 / 138 / 143 interrupted by a signal, with a checkpoint.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from resnet_lit import closing, job, preflight, searches
from resnet_lit.callbacks.interrupt import Interrupted
from resnet_lit.command_line import CONFIG_NAME, CommandLine, check_name, read_train
from resnet_lit.config import CONF, explain, from_hydra, own_presets
from resnet_lit.display import ConsoleHandler
from resnet_lit.own_files import remove_empty
from resnet_lit.record import Busy
from resnet_lit.resuming import resumption
from resnet_lit.run import is_helper_process, run
from resnet_lit.typed import Refused
from resnet_lit.usage import usage

REFUSED, BUSY = 2, 75
_exit_status = 0
_raised: list[BaseException] = []
_typed: tuple[str, ...] = ()  # as the user wrote it: for the record, and to be repeated


def task(config: DictConfig) -> dict[str, object] | None:
    """Called by Hydra for a single run, and for each cell of a multirun."""
    global _exit_status
    hydra_config = HydraConfig.get()
    if job.is_cell():
        job.settle_in(preflight.cells == [])
    folder = Path(os.path.relpath(hydra_config.runtime.output_dir))
    with open_dict(config):
        config.hydra = hydra_config
    typed = from_hydra(config)
    if not job.is_cell():
        try:
            found = run(typed, folder, command=_command(), new=preflight.new_folders)
            _exit_status = closing.single(found, folder)
        except (Refused, Busy, Interrupted) as error:
            _raised.append(error)  # past Hydra, which would print its own line about it
        return None
    record = job.run_cell(typed, folder, job.words_of_cell())
    if preflight.progress is not None:  # not in a launcher's worker
        preflight.progress.tell(folder, record)
    return job.result_of(record)


def _close() -> int:
    """What came of a multirun; its exit status."""
    progress = preflight.progress
    assert progress is not None
    progress.close()
    progress.look()
    return closing.table(progress.runs, progress.results())


def _command() -> str:
    return shlex.join(["python", "-m", "resnet_lit.train", *_typed])


def main() -> None:
    """The command. Hydra reads the words; what it or we refuse is one line, not a traceback (HYDRA_FULL_ERROR=1 shows it)."""
    global _typed
    line, _typed = CommandLine(), tuple(sys.argv[1:])
    show_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its errors to us
    job.end_with_parent()
    try:
        line = read_train(sys.argv[1:])
        sys.argv[1:] = line.for_hydra()
        if "--help" in line.options:
            print(usage(line))
            status = 0
        elif (again := resumption(line)) is not None:
            logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ConsoleHandler()])
            config, folder, known_as = again
            status = closing.single(run(config, folder, command=_command(), known_as=known_as), folder)
        else:
            check_name(line.source, CONF, line.overrides)
            preflight.require(line.source, line.overrides)
            own_presets()
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=CONFIG_NAME)(task)()
            if _raised:
                raise _raised[0]
            status = _close() if preflight.cells else _exit_status
    except Interrupted as error:
        status = 0 if is_helper_process() else error.exit_status  # the first process tells
        if status:
            print(f"{error}; rerun the same command to resume", file=sys.stderr)
    except KeyboardInterrupt:
        if preflight.cells and preflight.progress is not None:  # else nothing was started
            _close()
        print("ended by SIGINT; rerun the same command to resume", file=sys.stderr)
        status = 128 + signal.SIGINT
    except Busy as error:
        print(error, file=sys.stderr)
        status = BUSY
    except (Refused, HydraException, OmegaConfBaseException, OSError) as error:
        if show_traceback:
            raise
        print(_one_line(error, line), file=sys.stderr)
        status = REFUSED
    except ValueError as error:
        if "Config group override" in str(error) and not show_traceback:  # Hydra's, of optimizer=null
            print(_one_line(error, line), file=sys.stderr)
            status = REFUSED
        elif searches.all_failed():  # Optuna's sweeper asks for the best of trials that have all failed
            status = _close()
        else:
            raise
    finally:
        if preflight.progress is not None:
            preflight.progress.close()
        searches.close()
        remove_empty(preflight.new_folders)
    sys.stdout.flush()
    sys.exit(status)


def _one_line(error: Exception, line: CommandLine) -> str:
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, HydraException):  # Hydra's MissingConfigException is both
        return f"{error.filename}: cannot be written ({error.strerror}); choose another folder with hydra.run.dir=<folder>"
    return explain(error, line.overrides, line.source)


if __name__ == "__main__":
    main()
