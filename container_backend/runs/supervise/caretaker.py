"""Carries out, for the supervisor, what :func:`container_backend.runs.ending.decide` answers."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from container_backend.container import gathered, inspect_container, start_again, stop_run
from container_backend.errors import ContainerBackendError, EngineError
from container_backend.runs.ending import (
    PROBE_SECONDS,
    Finish,
    Hold,
    Leave,
    Start,
    Stop,
    TryAgain,
    Wait,
    decide,
)
from container_backend.runs.ledger import METRICS
from container_backend.runs.output import LogKeeper
from container_backend.runs.supervise.finisher import END, PROGRESS, Job
from container_backend.runs.supervise.finishers import Finishers
from container_backend.runs.supervise.sampler import Sampler
from container_backend.runs.tracking import is_fenced

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.container import RunContainer
    from container_backend.engine import Engine, EngineHost
    from container_backend.runs.ledger import Entry, Ledger
    from container_backend.runs.supervise.watched import Watched

_logger = logging.getLogger(__package__)


class Caretaker:
    """Starts and stops programs, samples statistics, keeps output, gives jobs to finishers.

    Attributes:
        engine: None until the engine has answered once.
        away_since: When the engine was lost, by the monotonic clock; None while it answers.
    """

    def __init__(
        self,
        host: EngineHost,
        ledger: Ledger,
        answer: Callable[[Job, str, str], None],
        forget: Callable[[Watched], None],
    ) -> None:
        """``answer`` takes finishers' answers, in any thread; ``forget`` a run that is finished."""
        self.engine: Engine | None = None
        self.away_since: float | None = time.monotonic()
        self.finishers = Finishers(ledger, answer)
        self.keeper = LogKeeper(host)
        self._ledger = ledger
        self._forget = forget
        self._sampler = Sampler()

    # After a container was inspected.

    def runs(self, watched: Watched, found: RunContainer, passed: float | None = None) -> None:
        """After the program was seen running: sample statistics, and set when to stop it."""
        assert self.engine is not None  # noqa: S101 the container is from it
        watched.runs(found, passed)
        entry = self._ledger.entry(watched.submission)
        if entry.read() is not None:
            self._sampler.begin(self.engine, found, entry.folder / METRICS)
        course = decide(watched.seen, time.monotonic())
        if isinstance(course, Wait):
            watched.due = course.until

    def ended(self, watched: Watched, found: RunContainer | None) -> None:
        """After the program was seen to have ended, or the container to be missing."""
        if watched.container is not None:
            self._sampler.end(watched.container.id)
        watched.ended(found)

    def release(self, watched: Watched) -> None:
        """Stop sampling and stop keeping output."""
        if watched.container is not None:
            self._sampler.end(watched.container.id)
            self.keeper.end(watched.container.id)

    # When something is due.

    def proceed(self, watched: Watched) -> None:
        """Inspect the container, decide, and do what is next. Raises ``EngineError``."""
        entry = self._ledger.entry(watched.submission)
        self._look(watched, entry)
        now = time.monotonic()
        course = decide(watched.seen, now)
        if isinstance(course, Wait):
            watched.due = course.until
        elif isinstance(course, Stop):
            self._stop(watched, course.mark)
        elif isinstance(course, TryAgain):
            said = "%s: %s; starting the program again in %g s"
            _logger.info(said, watched.run_id, course.reason, course.pause)
            entry.note_attempt(course.attempt, time.time() + course.pause)
            watched.seen = watched.seen.noted(course.attempt, now + course.pause)
            watched.due = now + course.pause
        elif isinstance(course, Start):
            self._start(watched, entry)
        elif isinstance(course, Leave):
            self._forget(watched)
        else:
            self._finish(watched, course)

    def _look(self, watched: Watched, entry: Entry) -> None:
        note = entry.read()
        seen = watched.seen
        if note is None:
            hold = Hold.NO_ENTRY
        else:
            hold = Hold.LEFT if is_left(entry) else Hold.TAKEN
            seen = replace(seen, attempts=max(seen.attempts, note.attempts))
        watched.seen = seen = replace(seen, hold=hold, away_since=self.away_since)
        last = seen.ending.there
        if last is None or hold is Hold.TAKEN or self.engine is None or self.away_since is not None:
            return
        found = inspect_container(self.engine, last.id)
        if found is not None and not found.has_ended:
            self.runs(watched, found)
        else:
            signs = gathered(self.engine, found, seen.signs)
            watched.seen = seen.looked_at(found, signs, time.monotonic())

    def _start(self, watched: Watched, entry: Entry) -> None:
        container, engine = watched.container, self.engine
        assert container is not None  # noqa: S101 it has ended
        assert engine is not None  # noqa: S101 it answers
        watched.due = time.monotonic() + PROBE_SECONDS
        if not is_fenced(entry):
            return
        try:
            start_again(engine, container)
        except ContainerBackendError as error:
            _logger.info("%s: the program could not be started again: %s", watched.run_id, error)
            watched.seen = watched.seen.not_started()
        else:
            watched.seen = watched.seen.started(time.monotonic())

    def _stop(self, watched: Watched, mark: str) -> None:
        """Stop a program, in a thread: that takes up to the grace period."""
        container, engine, run_id = watched.container, self.engine, watched.run_id
        assert container is not None  # noqa: S101 it was seen running
        assert engine is not None  # noqa: S101 the container is from it
        _logger.info("%s: stopping the program: %s", run_id, mark)
        watched.seen = replace(watched.seen, is_stopping=True)

        def stop() -> None:
            try:
                stop_run(engine, container.id, run_id, mark)
            except EngineError as error:
                _logger.info("%s: the program could not be stopped: %s", run_id, error)

        threading.Thread(target=stop, name=f"stop-{run_id}", daemon=True).start()

    def _finish(self, watched: Watched, course: Finish) -> None:
        watched.busy = True
        if course.ending.container is not None:
            self.keeper.end(course.ending.container.id)
        self.submit(watched, END)

    def progress(self, watched: Watched) -> None:
        """Have the output and the metrics so far uploaded."""
        watched.made_progress()
        self.submit(watched, PROGRESS)

    def submit(self, watched: Watched, kind: str) -> None:
        seen = watched.seen
        job = Job(
            kind,
            watched.submission,
            seen.run_id,
            watched.experiment_id,
            seen.container,
            seen.is_gone,
            seen.signs,
            seen.attempts,
            watched.insists,
        )
        self.finishers.submit(job, watched.tracking_uri)


def is_left(entry: Entry) -> bool:
    """True if no process holds the lock of an entry."""
    with entry.lock() as lock:
        return lock.try_to_own()
