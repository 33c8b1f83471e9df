"""Train what fits: the second program of the GPU kit, for when every load has been here.

./second --seconds 575          end by then, with all that was finished in $OUT; called again, it resumes

What to train stands in jobs.yaml, the most valuable first. How many runs go side by side, and which of them end in time, follows
from the speed that `first` has measured and from what a run has taken here. A job that would not end in time is not begun; only
where this is not the first call it is, last of all, and the next call resumes it. The time left goes to measurements of speed.

In $OUT, renewed after every run and every minute: outputs.tar.gz, the records of all runs without their checkpoints;
network.ckpt.00, …, one network, of the most valuable job (one that has ended, if any has), in parts (cat network.ckpt.*); logs.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from gpu_kit import images, kept
from gpu_kit.jobs import Job, Speeds, best_number, describe, fitting, read_jobs, seconds_of
from gpu_kit.processes import Log, Process, Signals, end_all
from resnet_lit.data.paths import are_there
from resnet_lit.formatting import duration
from resnet_lit.record import usable_cores
from resnet_lit.sweep import status as sweep_status
from resnet_lit.typed import Refused

OUTPUTS = Path("outputs")
CALLED = OUTPUTS / ".second"  # left by the first call
SPEED = OUTPUTS / "benchmarks" / "gpu_together.json"
ENDING = 25.0  # seconds in which runs write their last checkpoints, and what is kept is packed
KEEP_EVERY = 60.0
LEAST_FOR_SPEED = 45.0  # below it no measurement is begun
BUSY = 75  # exit status of a run that another process trains
INTERRUPTED = (0, 130, 138, 143)


def speeds_in(path: Path) -> Speeds:
    """What benchmarks.gpu_together has measured; nothing where it has not."""
    try:
        found = json.loads(path.read_text())["processes"]
        return {int(number): float(of["tflops"]) for number, of in found.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


class Training:
    """The jobs: those that wait, in their order, and those that run."""

    def __init__(self, jobs: list[Job], speeds: Speeds, number: int, end: float, log: Log, out: Path, *, is_again: bool) -> None:
        self.jobs, self.speeds, self.number, self.end = jobs, speeds, number, end
        self.log, self.out, self.is_again = log, out, is_again
        self.waiting = [job for job in jobs if not job.is_over]
        self.running: list[tuple[Job, Process]] = []
        self.measured: dict[str, float] = {}
        self.failed = 0
        self._kept = time.monotonic()

    @property
    def left(self) -> float:
        return self.end - time.monotonic()

    def run(self, signals: Signals) -> None:
        """Train until all have ended, nothing more fits, the time is up, or a signal comes."""
        while signals.noted is None and self.left > 0:
            self._take_in()
            while len(self.running) < self.number and (job := self._next()) is not None:
                self._begin(job)
            if not self.running:
                break
            if time.monotonic() - self._kept > KEEP_EVERY:
                self.keep()
            time.sleep(0.2)
        if self.running:
            self.log(f"ending {len(self.running)} runs, each with a checkpoint: the same command resumes them")
            end_all([process for _, process in self.running], ENDING - 10)
            self._take_in()
        for job in self.waiting:
            seconds = seconds_of(job, self.speeds, self.number, self.measured)
            takes = "" if seconds is None else f", it would take about {duration(seconds)}"
            self.log(f"{job.name}: not begun{takes}")

    def keep(self) -> None:
        """Renew what is brought back."""
        kept.keep_records(OUTPUTS, self.out)
        kept.keep_network([job.folder for job in sorted(self.jobs, key=lambda job: not job.is_over)], self.out)
        self._kept = time.monotonic()

    def _next(self) -> Job | None:
        """The most valuable job that can be begun: it ends in time, or was begun before; else, in a later call, any."""
        for job in self.waiting:
            seconds = seconds_of(job, self.speeds, self.number, self.measured)
            if job.is_begun or fitting([seconds], 1, self.left) == (True,):
                return job
        return self.waiting[0] if self.is_again and self.waiting else None

    def _begin(self, job: Job) -> None:
        self.waiting.remove(job)
        words = ["resnet_lit.train", *job.words, "hydra/launcher=basic", "checkpoint.every_minutes=1", "progress=plain"]
        threads = {"OMP_NUM_THREADS": str(max(1, usable_cores() // self.number))} if self.number > 1 else {}
        self.log(f"{job.name}: {'resumed' if job.is_begun else 'begun'}, {duration(self.left)} left")
        self.running.append((job, Process(job.name, words, self.out / "runs.log", threads)))

    def _take_in(self) -> None:
        """Those that have ended."""
        for job, process in [pair for pair in self.running if pair[1].status is not None]:
            self.running.remove((job, process))
            if job.is_over:
                self.measured.setdefault(job.kind, max(process.seconds, job.seconds))  # this call may have trained the rest alone
                self.log(f"{job.name}: {job.outcome} after {duration(process.seconds)}")
                self.keep()
            elif process.status == BUSY:  # of a call that was killed: it ends within seconds
                time.sleep(1)
                self.waiting.insert(0, job)
            elif process.status not in INTERRUPTED:
                self.failed += 1
                self.log(f"{job.name}: failed with status {process.status}\n{process.last_lines()}")


def measure_speed(end: float, log: Log, out: Path, signals: Signals, *, smoke: bool) -> None:
    """Give the time that is left to benchmarks.gpu, which goes on where `first` has stopped."""
    left = end - time.monotonic()
    if signals.noted is not None or left < LEAST_FOR_SPEED:
        return
    log(f"measuring speed, {duration(left)} left")
    words = ["benchmarks.gpu", *(["--device", "cpu", "--smoke"] if smoke else []), "--minutes", f"{left / 60:.2f}"]
    process = Process("speed", words, out / "runs.log", {"RESNET_LIT_DATA": None})  # random pixels, as in `first`
    while process.status is None and signals.noted is None and time.monotonic() < end:
        time.sleep(0.2)
    end_all([process], 5)
    log(process.last_lines())


def main(argv: list[str] | None = None) -> int:
    """The command; its exit status: 1 where a run failed, 128 + its number after a signal."""
    parser = argparse.ArgumentParser(prog="second", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=575, help="in all, from now on (575)")
    parser.add_argument("--jobs", type=Path, default=Path(__file__).with_name("jobs.yaml"), help="what to train")
    parser.add_argument("--side-by-side", type=int, help="so many runs at a time (default: what the measured speed says)")
    parser.add_argument("--no-speed", action="store_true", help="end when nothing more is to be trained")
    parser.add_argument("--smoke", action="store_true", help="a rehearsal on the CPU: +scale=smoke for +scale=gpu")
    options = parser.parse_args(argv)
    end = time.monotonic() + options.seconds - ENDING
    out = Path(os.environ.get("OUT", "out")).resolve()
    log, signals = Log(out / "second.log"), Signals()

    if any(Path("parts").glob("*")):
        try:
            os.environ["RESNET_LIT_DATA"] = str(images.unpack(Path("parts"), Path("data")).resolve())
        except Refused as error:
            log(str(error))
            return 2
    os.environ.setdefault("RESNET_LIT_CACHE", str(Path("cache").resolve()))
    jobs, left_out = read_jobs(options.jobs, "smoke" if options.smoke else "gpu")
    if lacking := [job.name for job in jobs if not are_there(job.config.data)]:
        log(f"{lacking[0]}: no images here: name them with RESNET_LIT_DATA, or make the kit with DATA=<archive or folder>")
        return 2
    OUTPUTS.mkdir(exist_ok=True)
    is_again = CALLED.exists()
    CALLED.touch()
    speeds = speeds_in(SPEED)
    if options.side_by_side:
        speeds = {n: speed for n, speed in speeds.items() if n == options.side_by_side}
    number = options.side_by_side or best_number([job for job in jobs if not job.is_over], speeds, end - time.monotonic())
    known = f"{speeds[number]:.3g} TFLOP/s together" if number in speeds else "speed not measured"
    log("\n".join([*left_out, f"{number} at a time ({known}), {duration(end - time.monotonic())} left"]))
    log("\n".join(describe(jobs, speeds, number)))

    training = Training(jobs, speeds, number, end, log, out, is_again=is_again)
    training.run(signals)
    training.keep()
    if not options.no_speed:
        measure_speed(end, log, out, signals, smoke=options.smoke)
        training.keep()
    log(sweep_status(["status", str(OUTPUTS)]))
    return 128 + signals.noted if signals.noted is not None else int(training.failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
