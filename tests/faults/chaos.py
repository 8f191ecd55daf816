"""All faults, in an order and at moments that a seed decides, over and over; several at a time."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import signal
import statistics
import sys
import threading
import time
import traceback
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.registry import FAULTS
from tests.faults.trial import Trial, attempt

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> int:
    """Gives the exit code: 0 where all runs said what they must."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="begin nothing after that")
    parser.add_argument("--loops", type=int, help="whole loops instead, each with every fault")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument(
        "--only", default="", help="faults with one of these, between commas, in their name"
    )
    parser.add_argument(
        "--journal", type=Path, help="a file for each trial; those in it are not made again"
    )
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    journal = _Journal(options.journal)
    made = {(trial.fault, trial.seed) for trial in journal.trials}
    with ThreadPoolExecutor(options.workers) as pool:
        waiting: dict[Future[Trial], tuple[str, int]] = {}
        for name, seed in _trials(options.seed, options.only, options.seconds, options.loops):
            if interrupted.is_set():  # what has begun cleans up after itself
                break
            if (name, seed) in made:
                continue
            waiting[pool.submit(attempt, name, seed)] = (name, seed)
            while len(waiting) == options.workers:
                _take(waiting, journal)
        while waiting:
            _take(waiting, journal)
    passed = [trial for trial in journal.trials if not trial.failed]
    failed = len(journal.trials) - len(passed)
    print(f"\n{_table(passed)}\n")
    print(f"{len(passed)} passed, {failed} failed, seed {options.seed}")
    return 1 if failed or interrupted.is_set() else 0


def _trials(seed: int, only: str, seconds: float, loops: int | None) -> Iterator[tuple[str, int]]:
    """Names of faults, and the seeds of the moments at which they happen."""
    chance = random.Random(seed)
    wanted = only.split(",")
    names = [name for name in FAULTS if any(part in name for part in wanted)]
    deadline = time.monotonic() + seconds
    loop = 0
    while loops is None or loop < loops:
        loop += 1
        for name in chance.sample(names, len(names)):
            if loops is None and time.monotonic() > deadline:
                return
            yield name, chance.randrange(10**9)
        if loops is not None:
            print(f"--- loop {loop} of {loops} begun to its end", flush=True)


class _Journal:
    """All trials so far, those that failed as well; in a file, for loops that are interrupted."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.trials: list[Trial] = []
        if file is not None and file.exists():
            lines = file.read_text().splitlines()
            self.trials = [Trial(**json.loads(line)) for line in lines]
        elif file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)

    def note(self, trial: Trial) -> None:
        self.trials.append(trial)
        if self._file is not None:
            with self._file.open("a") as file:
                file.write(json.dumps(dataclasses.asdict(trial)) + "\n")


def _take(waiting: dict[Future[Trial], tuple[str, int]], journal: _Journal) -> None:
    """Wait for one, and say how it went."""
    for each in wait(waiting, return_when=FIRST_COMPLETED).done:
        name, seed = waiting.pop(each)
        now = time.strftime("%H:%M:%S")
        error = each.exception()
        if error is None:
            trial = each.result()
            print(f"{now} ok     {trial.seconds:5.1f} s of {trial.took:5.1f} s  {name}", flush=True)
        else:
            trial = Trial(name, seed, f"{type(error).__name__}: {error}", 0.0, 0.0, failed=True)
            print(f"{now} FAILED {name} (seed {seed})", flush=True)
            traceback.print_exception(error, limit=-3, file=sys.stdout)
        journal.note(trial)


def _table(done: list[Trial]) -> str:
    """For people, in Markdown."""
    lines = ["| fault | what the run says | median | longest | times |", "|---|---|--:|--:|--:|"]
    for name in FAULTS:
        trials = [trial for trial in done if trial.fault == name]
        if trials:
            seconds = [trial.seconds for trial in trials]
            says = " or ".join(sorted({trial.says for trial in trials}))
            lines.append(
                f"| {name} | {says} | {statistics.median(seconds):.1f} s "
                f"| {max(seconds):.1f} s | {len(trials)} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # MLflow's own threads are not waited for
