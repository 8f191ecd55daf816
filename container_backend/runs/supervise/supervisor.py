"""The supervisor finishes every run of its user on an engine.

It watches all containers by one stream of events, without MLflow. Finishers write the ends of runs
(:mod:`container_backend.runs.supervise.finishers`). A run whose client lives is left to the client, which holds the lock of the run's ledger entry.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.container import inspect_container, is_name_of, remove_shared_code
from container_backend.engine import Event, EventReader
from container_backend.errors import EngineError
from container_backend.machine import owner_id, run_id_in, submission_in
from container_backend.runs.ending import PROBE_SECONDS, Seen
from container_backend.runs.ledger import FRAMES, is_signed
from container_backend.runs.supervise.caretaker import Caretaker, is_left
from container_backend.runs.supervise.finisher import AGAIN, BUSY, INCOMPLETE, PROGRESS
from container_backend.runs.supervise.inbox import Answer, Inbox, Lost, Opened
from container_backend.runs.supervise.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.container import RunContainer
    from container_backend.engine import EngineHost
    from container_backend.runs.ledger import Entry, Ledger, Note

_logger = logging.getLogger(__package__)
# The supervisor ends after this time without a run.
_LINGER_SECONDS: Final = 10.0
# It ends if the engine is away for this time. The next command for the engine starts another.
_PATIENCE_SECONDS: Final = 86_400.0
_SCAN_SECONDS: Final = 2.0
# How often shared code is removed that was not used for a time.
_TIDY_SECONDS: Final = 60.0
_UNUSED_SECONDS: Final = 600.0


class Supervisor:
    def __init__(self, host: EngineHost, ledger: Ledger, *, stays: bool = False) -> None:
        """``stays``: do not end without runs."""
        self._ledger = ledger
        self._stays = stays
        self._was_missed = False
        self._watched: dict[str, Watched] = {}
        self._inbox = Inbox()
        self._care = Caretaker(host, ledger, self._inbox.answered, self._forget)
        self._label = f"{labels_and_tags.LABEL_OWNER}={owner_id()}"
        self._reader = EventReader(host, self._label, self._inbox)
        self._idle_since = time.monotonic()
        self._scan_due = 0.0
        self._tidy_due = time.monotonic() + _TIDY_SECONDS

    def run(self) -> bool:
        """Watch until no run is left. True if it gave up because the engine is away."""
        self._reader.start()
        while not self._is_done():
            self._receive()
            self._scan()
            self._see_to_all()
            self._care.finishers.end_idle()
            if time.monotonic() >= self._tidy_due:
                self._tidy(_UNUSED_SECONDS)
        self._tidy(0.0)
        return self._care.away_since is not None

    # The main loop.

    def _is_done(self) -> bool:
        if self._watched or self._care.finishers.are_busy or any(self._ledger.entries()):
            self._idle_since = time.monotonic()
        if self._stays:
            return False
        now, away_since = time.monotonic(), self._care.away_since
        if away_since is not None and now - away_since > _PATIENCE_SECONDS:
            return True
        return now - self._idle_since > _LINGER_SECONDS

    def _receive(self) -> None:
        """Take all messages; wait for the first until something is due."""
        due = min([self._scan_due, *(each.next_due for each in self._watched.values())])
        for message in self._inbox.take(max(0.0, due - time.monotonic())):
            self._take(message)

    def _take(self, message: Event | Opened | Lost | Answer) -> None:
        try:
            if isinstance(message, Event):
                self._take_event(message)
            elif isinstance(message, Answer):
                self._take_answer(message)
            elif isinstance(message, Opened):
                self._take_opened(message)
            elif self._care.away_since is None:
                _logger.info("the engine went away: %s", message.error)
                self._care.away_since = time.monotonic()
            elif self._care.engine is None and not self._was_missed:
                _logger.info("the engine does not answer yet: %s", message.error)
                self._was_missed = True
        except Exception as error:  # noqa: BLE001 one message fails: the others go on
            _left_out(f"a message ({type(message).__name__})", error)

    def _take_opened(self, message: Opened) -> None:
        self._care.engine, self._care.away_since = message.engine, None
        if message.was_away:
            _logger.info("the engine is back")
            for each in self._watched.values():
                each.engine_was_away()
        for event in message.missed:
            if watched := self._watched_of(event.container_id, event.attributes):
                watched.take(event)
        found = message.engine.containers.find(self._label)
        for container in found:
            try:
                self._look(str(container["Id"]), container["Labels"])
            except EngineError:
                raise
            except Exception as error:  # noqa: BLE001 one container fails: the others go on
                _left_out(f"container {str(container['Id'])[:12]}", error)
        there = {str(container["Id"]) for container in found}
        for watched in list(self._watched.values()):
            if watched.container is not None and watched.container.id not in there:
                self._care.ended(watched, None)

    def _take_event(self, event: Event) -> None:
        watched = self._watched_of(event.container_id, event.attributes)
        if watched is not None:
            watched.take(event)
        if event.action in {"start", "rename", "die"}:
            passed = 0.0 if event.action == "start" else None
            self._look(event.container_id, event.attributes, passed)
        elif event.action == "destroy" and watched is not None:
            self._care.ended(watched, None)

    def _take_answer(self, answer: Answer) -> None:
        watched = self._watched.get(answer.job.submission)
        if answer.job.kind == PROGRESS:
            if answer.state == AGAIN:
                _logger.info(
                    "%s: output so far was not uploaded: %s", answer.job.run_id, answer.said
                )
            return
        if watched is None:
            return
        watched.busy = False
        if answer.state == BUSY:
            watched.due = time.monotonic() + PROBE_SECONDS
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
        """Inspect a container, whose program started ``passed`` seconds ago, and watch its run."""
        assert self._care.engine is not None  # noqa: S101 the container is from it
        found = inspect_container(self._care.engine, container_id)
        watched = self._watched_of(container_id, labels)
        if found is None:
            if watched is not None:
                self._care.ended(watched, None)
            return
        if not found.is_ours_to_finish:
            if watched is not None and watched.run_id == found.run_id:
                self._forget(watched)
            return
        if not self._is_known(found):
            return
        watched = self._watched.get(found.submission) or self._watch(found)
        # A container may have the labels of another run.
        is_other = watched.container is not None and watched.container.id != found.id
        if watched.busy or is_other or watched.run_id not in {"", found.run_id}:
            return
        if found.has_ended:
            self._care.ended(watched, found)
        else:
            self._care.runs(watched, found, passed)

    def _is_known(self, found: RunContainer) -> bool:
        """True for the one container of a run of this user; every user of the engine sets labels."""
        if not found.submission:
            return False
        note = self._ledger.entry(found.submission).read()
        is_ours = is_signed(found.labels) or _is_of_older_version(found.labels, note)
        if not (is_ours and is_name_of(found.run_id, found.name)):
            return False
        return note is None or (
            note.container in {"", found.id} and note.run_id in {"", found.run_id}
        )

    def _watched_of(self, container_id: str, labels: Mapping[str, str]) -> Watched | None:
        """The run of a container; None for another container with the same labels."""
        watched = self._watched.get(submission_in(labels))
        if watched is None or watched.container is None or watched.container.id == container_id:
            return watched
        return None

    def _watch(self, found: RunContainer) -> Watched:
        note = self._ledger.entry(found.submission).read()
        watched = Watched(
            found.submission,
            note.tracking_uri if note else found.tracking_uri,
            Seen(
                note.run_id if note and note.run_id else found.run_id,
                attempts=note.attempts if note else 1,
            ),
            found.labels.get(labels_and_tags.LABEL_EXPERIMENT_ID, ""),
        )
        self._watched[found.submission] = watched
        return watched

    def _forget(self, watched: Watched) -> None:
        self._watched.pop(watched.submission, None)
        self._care.release(watched)

    def _scan(self) -> None:
        """Take over entries that are not locked, and keep the output of their containers."""
        now = time.monotonic()
        if now < self._scan_due:
            return
        self._scan_due = now + _SCAN_SECONDS
        for submission in self._ledger.submissions():
            watched = self._watched.get(submission)
            found = watched.container if watched is not None else None
            if watched is not None and (watched.seen.ended_at is not None or found is None):
                continue
            if found is not None and self._care.keeper.is_reading(found.id):
                continue
            entry = self._ledger.entry(submission)  # after the checks that need no disk
            if not entry.is_there or not is_left(entry):
                continue
            try:
                if found is None:
                    self._take_over(entry)
                else:
                    self._care.keeper.begin(found.id, entry.folder / FRAMES, found.most_output)
            except Exception as error:  # noqa: BLE001 one entry fails: the others go on
                _left_out(submission, error)

    def _take_over(self, entry: Entry) -> None:
        """Watch the run of an entry whose client is gone, with or without a container."""
        note = entry.read()
        if note is None or self._care.away_since is not None or self._care.engine is None:
            return
        label = f"{labels_and_tags.LABEL_SUBMISSION}={entry.submission}"
        # Every user of the engine can set the label.
        found = self._care.engine.containers.find(label)
        for each in found:
            if is_signed(each["Labels"]) or _is_of_older_version(each["Labels"], note):
                self._look(str(each["Id"]), each["Labels"])
                return
        now = time.monotonic()
        seen = Seen(note.run_id, is_gone=True, attempts=note.attempts, ended_at=now)
        watched = Watched(entry.submission, note.tracking_uri, seen, note.experiment_id, due=now)
        self._watched[entry.submission] = watched

    # What is done.

    def _see_to_all(self) -> None:
        now = time.monotonic()
        for watched in list(self._watched.values()):
            if watched.busy:
                continue
            try:
                if watched.due <= now:
                    self._care.proceed(watched)
                elif watched.progress_due <= now:
                    self._care.progress(watched)
            except Exception as error:  # noqa: BLE001 one run fails: the others go on
                if isinstance(error, EngineError):
                    watched.due = now + PROBE_SECONDS
                else:
                    watched.busy = False
                    watched.try_again(incomplete=False)
                _left_out(watched.run_id or watched.submission, error)

    def _tidy(self, unused_for: float) -> None:
        self._tidy_due = time.monotonic() + _TIDY_SECONDS
        if self._care.away_since is not None or self._care.engine is None:
            return
        try:
            remove_shared_code(self._care.engine, self._ledger.shared_code, unused_for)
        except Exception as error:  # noqa: BLE001 one image fails: the runs go on
            _left_out("shared code", error)


def _is_of_older_version(labels: Mapping[str, str], note: Note | None) -> bool:
    """True for a run that an older version has started, without signatures and ids of containers."""
    return (
        note is not None
        and not note.container
        and note.run_id == run_id_in(labels)
        and labels_and_tags.LABEL_SIGNATURE not in labels
    )


def _left_out(what: str, error: Exception) -> None:
    if isinstance(error, EngineError):
        _logger.info("asking the engine failed: %s", error.message)
        return
    text = " ".join(str(error).split())  # in one line
    _logger.error("%s is left out: %s: %s", what, type(error).__name__, text)
