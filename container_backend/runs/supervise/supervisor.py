"""The supervisor: sees to it that every run of its user on an engine comes to its end.

It watches all containers over one stream of events, without MLflow, and has the ends of their runs
written down by processes that have it (:mod:`container_backend.runs.supervise.finishers`). A run whose client lives is its client's:
that holds the lock of the run's entry in the ledger.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from container_backend import naming
from container_backend.container import (
    TIMED_OUT,
    Ending,
    gathered,
    inspect_container,
    outcome_at,
    start_container,
    stop_run,
)
from container_backend.engine import ENGINE_ERRORS, SHUTDOWN_SECONDS, Event, EventReader
from container_backend.errors import ContainerBackendError
from container_backend.image import remove_images
from container_backend.machine import owner_id, submission_in
from container_backend.runs.ending import may_retry, pause_before
from container_backend.runs.ledger import FRAMES, METRICS, Ledger
from container_backend.runs.output import LogKeeper
from container_backend.runs.supervise.finisher import AGAIN, BUSY, END, INCOMPLETE, PROGRESS, Job
from container_backend.runs.supervise.finishers import Finishers
from container_backend.runs.supervise.sampler import Sampler
from container_backend.runs.supervise.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from container_backend.container import RunContainer
    from container_backend.engine import Engine, EngineHost
    from container_backend.runs.ledger import Entry

_logger = logging.getLogger(__package__)
# How long there must be nothing to do before it ends.
_LINGER_SECONDS: Final = 10.0
# How long an engine may be away. The next command that is typed for it begins anew.
_PATIENCE_SECONDS: Final = 86_400.0
_SCAN_SECONDS: Final = 2.0
_PROBE_SECONDS: Final = 1.0
# A container without an entry here belongs to somebody elsewhere, who has this long to finish it.
_STRANGER_SECONDS: Final = 5.0
# Somebody who renamed a container to stop it has this long, beyond the grace period, to do so.
_STOP_SECONDS: Final = 2.0
# How often one that goes on looks for shared code that no run has asked for in so long.
_TIDY_SECONDS: Final = 60.0
_UNUSED_SECONDS: Final = 600.0


class _Opened(NamedTuple):
    engine: Engine
    missed: Sequence[Event]
    was_away: bool


class _Answer(NamedTuple):
    job: Job
    state: str
    said: str


class _Lost(NamedTuple):
    error: BaseException


class Supervisor:
    """Watches one engine."""

    def __init__(self, host: EngineHost, ledger: Ledger, *, stays: bool = False) -> None:
        """Nothing is watched yet.

        Args:
            host: The engine.
            ledger: Of the runs on it.
            stays: Whether it goes on where there is nothing to do.
        """
        self._ledger = ledger
        self._stays = stays
        self._engine: Engine | None = None
        self._is_away = True
        self._was_missed = False
        self._away_since = time.monotonic()
        self._watched: dict[str, Watched] = {}
        self._messages: queue.Queue[Event | _Opened | _Lost | _Answer] = queue.Queue()
        self._finishers = Finishers(ledger, self._answered)
        self._sampler = Sampler()
        self._keeper = LogKeeper(host)
        self._reader = EventReader(host, f"{naming.LABEL_OWNER}={owner_id()}", self)
        self._idle_since = time.monotonic()
        self._scan_due = 0.0
        self._tidy_due = time.monotonic() + _TIDY_SECONDS

    def run(self) -> bool:
        """Watch until there is nothing left. Whether it gave up, because the engine is gone."""
        self._reader.start()
        while not self._is_done():
            self._receive()
            self._scan()
            self._see_to_all()
            self._finishers.end_idle()
            if time.monotonic() >= self._tidy_due:
                self._tidy(_UNUSED_SECONDS)
        self._tidy(0.0)
        return self._is_away

    # What other threads tell.

    def opened(self, engine: Engine, missed: Sequence[Event], *, was_away: bool) -> None:
        """See :class:`container_backend.engine.events.Listener`."""
        self._messages.put(_Opened(engine, missed, was_away))

    def happened(self, event: Event) -> None:
        """See :class:`container_backend.engine.events.Listener`."""
        self._messages.put(event)

    def lost(self, error: BaseException) -> None:
        """See :class:`container_backend.engine.events.Listener`."""
        self._messages.put(_Lost(error))

    def _answered(self, job: Job, state: str, said: str) -> None:
        self._messages.put(_Answer(job, state, said))

    # The main loop.

    def _is_done(self) -> bool:
        if self._watched or self._finishers.are_busy or any(self._ledger.entries()):
            self._idle_since = time.monotonic()
        now = time.monotonic()
        if self._is_away and now - self._away_since > _PATIENCE_SECONDS and not self._stays:
            return True
        return not self._stays and now - self._idle_since > _LINGER_SECONDS

    def _receive(self) -> None:
        """Take all messages; wait for the first one until something is due."""
        now = time.monotonic()
        dues = [
            min(each.due, each.deadline, each.progress_due)
            for each in self._watched.values()
            if not each.busy
        ]
        pause = max(0.0, min([self._scan_due, *dues]) - now)
        try:
            message = self._messages.get(timeout=pause)
            while True:
                self._take(message)
                message = self._messages.get_nowait()
        except queue.Empty:
            return

    def _take(self, message: Event | _Opened | _Lost | _Answer) -> None:
        try:
            if isinstance(message, Event):
                self._take_event(message)
            elif isinstance(message, _Answer):
                self._take_answer(message)
            elif isinstance(message, _Opened):
                self._take_opened(message)
            elif not self._is_away:
                _logger.info("the engine went away: %s", message.error)
                self._is_away, self._away_since = True, time.monotonic()
            elif self._engine is None and not self._was_missed:
                _logger.info("the engine does not answer yet: %s", message.error)
                self._was_missed = True
        except ENGINE_ERRORS as error:
            _logger.info("the engine does not answer: %s", error)
        except Exception as error:  # noqa: BLE001 of one container: the others go on
            _left_out(f"a message ({type(message).__name__})", error)

    def _take_opened(self, message: _Opened) -> None:
        self._engine = message.engine
        self._is_away = False
        if message.was_away:
            _logger.info("the engine is back")
            for each in self._watched.values():
                each.engine_was_away()
        for event in message.missed:
            if watched := self._watched_of(event.container_id, event.attributes):
                watched.take(event)
        label = f"{naming.LABEL_OWNER}={owner_id()}"
        found = message.engine.client.api.containers(all=True, filters={"label": label})
        for each in found:
            try:
                self._look(str(each["Id"]), each["Labels"])
            except ENGINE_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001 of one container: the others go on
                _left_out(f"container {str(each['Id'])[:12]}", error)
        there = {str(each["Id"]) for each in found}
        for watched in list(self._watched.values()):
            if watched.container is not None and watched.container.id not in there:
                self._gone(watched)

    def _take_event(self, event: Event) -> None:
        watched = self._watched_of(event.container_id, event.attributes)
        if watched is not None:
            watched.take(event)
        if event.action in {"start", "rename", "die"}:
            passed = 0.0 if event.action == "start" else None
            self._look(event.container_id, event.attributes, passed)
        elif event.action == "destroy" and watched is not None:
            self._gone(watched)

    def _take_answer(self, answer: _Answer) -> None:
        watched = self._watched.get(answer.job.submission)
        if answer.job.kind == PROGRESS:
            if answer.state == AGAIN:
                _logger.info("%s: not logged so far: %s", answer.job.run_id, answer.said)
            return
        if watched is None:
            return
        watched.busy = False
        if answer.state == BUSY:
            watched.due = time.monotonic() + _PROBE_SECONDS
        elif answer.state in {AGAIN, INCOMPLETE}:
            pause = watched.try_again(incomplete=answer.state == INCOMPLETE)
            _logger.info("%s: again in %g s: %s", answer.job.run_id, pause, answer.said)
        else:
            _logger.info("%s: %s", answer.job.run_id or answer.job.submission, answer.said)
            self._forget(watched)

    # What is known.

    def _look(
        self, container_id: str, labels: Mapping[str, str], passed: float | None = None
    ) -> None:
        """See how a container is now.

        Args:
            container_id: Which.
            labels: Its labels.
            passed: Seconds since its program was started; by the clocks, where it is not known.
        """
        assert self._engine is not None  # noqa: S101 it told of the container
        found = inspect_container(self._engine, container_id)
        watched = self._watched_of(container_id, labels)
        if found is None:
            if watched is not None:
                self._gone(watched)
            return
        if not found.is_ours_to_finish:
            if watched is not None and watched.run_id == found.run_id:
                self._forget(watched)
            return
        watched = self._watched.get(found.submission) or self._watch(found)
        # One may say that it belongs to the entry of another run.
        is_other = watched.container is not None and watched.container.id != found.id
        if not watched.busy and not is_other and watched.run_id in {"", found.run_id}:
            self._take_note(watched, found, passed)

    def _watched_of(self, container_id: str, labels: Mapping[str, str]) -> Watched | None:
        """The run of a container; None for another container that has the labels of its."""
        watched = self._watched.get(submission_in(labels))
        if watched is None or watched.container is None or watched.container.id == container_id:
            return watched
        return None

    def _take_note(self, watched: Watched, found: RunContainer, passed: float | None) -> None:
        if not found.has_ended:
            self._runs(watched, found, passed)
        elif found.was_started or found.state.get("Error"):
            watched.container = found
            self._ended(watched, found)
        elif watched.container is None:
            watched.container = found  # created; its client is about to start it, if it lives
            watched.end(_PROBE_SECONDS)

    def _watch(self, found: RunContainer) -> Watched:
        note = self._ledger.entry(found.submission).read()
        watched = Watched(
            found.submission,
            note.tracking_uri if note else found.tracking_uri,
            note.run_id if note and note.run_id else found.run_id,
            found.labels.get(naming.LABEL_EXPERIMENT_ID, ""),
            attempts=note.attempts if note else 1,
        )
        self._watched[found.submission] = watched
        return watched

    def _runs(self, watched: Watched, found: RunContainer, passed: float | None = None) -> None:
        assert self._engine is not None  # noqa: S101 it told of the container
        if watched.signs.engine_lost:
            watched.signs = replace(watched.signs, engine_lost=False)
        now = time.time()
        watched.runs(found, max(0.0, now - (found.started_at or now) if passed is None else passed))
        entry = self._ledger.entry(watched.submission)
        if entry.read() is not None:
            self._sampler.begin(self._engine, found, entry.folder / METRICS)
        if found.ending:  # somebody is about to stop it, or was
            timer = threading.Timer(
                _STOP_SECONDS + found.grace, self._stop, [watched, found.ending]
            )
            timer.daemon = True
            timer.start()

    def _ended(self, watched: Watched, found: RunContainer) -> None:
        self._sampler.end(found.id)
        wait = 0.0
        if watched.signs.signal and not found.ending and not watched.signs.engine_lost:
            wait = SHUTDOWN_SECONDS  # it may be the engine that ends
        if self._ledger.entry(watched.submission).read() is None:
            wait = _STRANGER_SECONDS
        watched.end(wait)

    def _gone(self, watched: Watched) -> None:
        if watched.container is not None:
            self._sampler.end(watched.container.id)
        watched.is_gone = True
        watched.due = math.inf
        watched.end(_PROBE_SECONDS)

    def _forget(self, watched: Watched) -> None:
        self._watched.pop(watched.submission, None)
        if watched.container is not None:
            self._sampler.end(watched.container.id)
            self._keeper.end(watched.container.id)

    def _scan(self) -> None:
        """Look for entries that nobody sees to, and for runs whose client is gone."""
        now = time.monotonic()
        if now < self._scan_due:
            return
        self._scan_due = now + _SCAN_SECONDS
        for submission in self._ledger.submissions():
            watched = self._watched.get(submission)
            found = watched.container if watched is not None else None
            if watched is not None and (watched.has_ended or found is None):
                continue
            if found is not None and self._keeper.is_reading(found.id):
                continue
            entry = self._ledger.entry(submission)  # what is read of it costs, with hundreds
            if not entry.is_there or not _is_left(entry):
                continue
            try:
                if found is None:
                    self._take_over(entry)
                else:
                    self._keeper.begin(found.id, entry.folder / FRAMES)
            except Exception as error:  # noqa: BLE001 of one entry: the others go on
                _left_out(submission, error)

    def _take_over(self, entry: Entry) -> None:
        """Somebody left an entry behind: with a container, or before there was one."""
        note = entry.read()
        if note is None or self._engine is None or self._is_away:
            return
        label = f"{naming.LABEL_SUBMISSION}={entry.submission}"
        try:
            found = self._engine.client.api.containers(all=True, filters={"label": label})
            if found:
                self._look(str(found[0]["Id"]), dict(found[0]["Labels"]))
                return
        except ENGINE_ERRORS as error:
            _logger.info("the engine does not answer: %s", error)
            return
        watched = Watched(
            entry.submission, note.tracking_uri, note.run_id, note.experiment_id,
            is_gone=True, attempts=note.attempts,
        )  # fmt: skip
        self._watched[entry.submission] = watched
        watched.end(0)

    # What is done.

    def _see_to_all(self) -> None:
        now = time.monotonic()
        for watched in list(self._watched.values()):
            if watched.busy:
                continue
            try:
                if watched.due <= now:
                    self._see_to_end(watched)
                elif watched.deadline <= now:
                    watched.deadline = math.inf
                    _logger.info("%s: takes longer than its timeout", watched.run_id)
                    self._in_background(self._stop, watched, TIMED_OUT)
                elif watched.progress_due <= now:
                    watched.made_progress()
                    self._submit(watched, PROGRESS)
            except ENGINE_ERRORS as error:
                _logger.info("the engine does not answer: %s", error)
                watched.due = now + _PROBE_SECONDS
            except Exception as error:  # noqa: BLE001 of one run: the others go on
                watched.busy = False
                watched.try_again(incomplete=False)
                _left_out(watched.run_id or watched.submission, error)

    def _see_to_end(self, watched: Watched) -> None:
        entry = self._ledger.entry(watched.submission)
        note = entry.read()
        if watched.is_gone and note is None:
            self._forget(watched)  # finished by its client, or by somebody elsewhere
            return
        if self._is_away or self._engine is None or (note is not None and not _is_left(entry)):
            watched.due = time.monotonic() + _PROBE_SECONDS
            return
        if watched.container is not None and not watched.is_gone:
            found = inspect_container(self._engine, watched.container.id)
            if found is None:
                self._gone(watched)
                return
            if not found.is_ours_to_finish:
                self._forget(watched)
                return
            if not found.has_ended:
                self._runs(watched, found)
                return
            watched.container = found
            watched.signs = gathered(self._engine, found, watched.signs)
            if self._restarted(watched, found, entry):
                return
        watched.busy = True
        if watched.container is not None:
            self._keeper.end(watched.container.id)
        self._submit(watched, END)

    def _restarted(self, watched: Watched, found: RunContainer, entry: Entry) -> bool:
        """Whether it is not the end: the program is started again, now or in a while."""
        assert self._engine is not None  # noqa: S101 it told of the container
        if watched.restarts:
            watched.restarts = False
            try:
                start_container(self._engine, found.id)
            except ContainerBackendError as error:
                _logger.info("%s: could not be started again: %s", watched.run_id, error)
                return False
            watched.due = time.monotonic() + _PROBE_SECONDS
            return True
        outcome = outcome_at(Ending(watched.run_id, found, signs=watched.signs))
        if not may_retry(found, outcome, watched.attempts):
            return False
        watched.attempts, pause = entry.count_attempt(pause_before)
        _logger.info("%s: %s; starting it again in %g s", watched.run_id, outcome.reason, pause)
        watched.restarts = True
        watched.due = time.monotonic() + pause
        return True

    def _tidy(self, unused_for: float) -> None:
        self._tidy_due = time.monotonic() + _TIDY_SECONDS
        if self._engine is None or self._is_away:
            return
        try:
            remove_images(self._engine, self._ledger, unused_for)
        except ENGINE_ERRORS as error:
            _logger.info("shared code stays on the engine: %s", error)
        except Exception as error:  # noqa: BLE001 of one image: the runs go on
            _left_out("shared code", error)

    def _stop(self, watched: Watched, ending: str) -> None:
        """Have a program stop, as somebody asked for or because its time is over."""
        found, engine = watched.container, self._engine
        if found is None or engine is None or watched.has_ended:
            return
        try:
            stop_run(engine, found.id, watched.run_id, ending)
        except ENGINE_ERRORS as error:
            _logger.info("%s could not be stopped: %s", watched.run_id, error)

    def _in_background(self, work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _submit(self, watched: Watched, kind: str) -> None:
        job = Job(
            kind,
            watched.submission,
            watched.run_id,
            watched.experiment_id,
            watched.container,
            watched.is_gone,
            watched.signs,
            watched.attempts,
            watched.insists,
        )
        self._finishers.submit(job, watched.tracking_uri)


def _left_out(what: str, error: Exception) -> None:
    """Say it in one line, whatever is in the text of the error."""
    _logger.error(
        "%s is left out: %s: %s", what, type(error).__name__, " ".join(str(error).split())
    )


def _is_left(entry: Entry) -> bool:
    """Whether nobody holds an entry's lock."""
    with entry.lock() as lock:
        return lock.try_to_own()
