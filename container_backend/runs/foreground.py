"""A run that its client waits for: shows the output, and cancels the run on an interrupt."""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.container import CANCELLED, FINISHED, RUNNING, Ending, follower_of
from container_backend.errors import TrackingUnreachable
from container_backend.masking import without_credentials
from container_backend.runs.ending import (
    Attended,
    Finished,
    Seen,
    deadline_of,
    finish_run,
    run_error,
)
from container_backend.runs.output import Display, LogSpool
from container_backend.runs.tracking import store_waited_for
from container_backend.store import await_listener, log_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.config import BackendConfig
    from container_backend.container import Followed
    from container_backend.engine import Engine
    from container_backend.machine import Interrupts
    from container_backend.runs.handle import ContainerRun
    from container_backend.runs.ledger import Entry
    from container_backend.runs.output import Chunk, Output
    from container_backend.runs.run_files import RunFiles
    from container_backend.store import RunRecord, StoredRun

_logger = logging.getLogger(__package__)
# A tracking server may be away for this time, about as long as MLflow's client tries.
_STORE_PATIENCE_SECONDS: Final = 300.0
# After this time the user is told that the end of the run is not written yet.
_REMINDER_SECONDS: Final = 5.0
# The store is looked at this often.
_TELL_SECONDS: Final = 2.0
# The environment is read from the container of a running program only after this time.
_SHORT_RUN_SECONDS: Final = 1.0
# What was read of a run is not believed for longer.
_READ_SECONDS: Final = 3.0
# The folder for the output in the ledger entry.
_SHOWN: Final = "shown"


class Foreground:
    """Follows a started run to its end, in the calling thread."""

    def __init__(
        self,
        started: Started,
        followed: Followed,
        output: Output,
        write: Callable[[Chunk], None],
        interrupts: Interrupts,
    ) -> None:
        """Begin to show the output. :meth:`to_end` releases the interrupts, which are held."""
        self._started = started
        self._interrupts = interrupts
        self._engine = started.engine
        self._run_id = started.record.run_id
        self._spool = LogSpool(started.entry.folder / _SHOWN, started.secrets, started.most_output)
        self._display = Display(started.engine, started.container_id, write, self._spool)
        self._display.show(output)
        self._followed = followed
        self._attended = Attended(
            started.engine,
            started.container_id,
            Seen(self._run_id, deadline=deadline_of(started.config.timeout, time.monotonic())),
            started.entry,
            followed,
            self._display,
        )
        self._at_end: StoredRun | None = None
        self._read_at = -math.inf
        self._has_said = threading.Event()
        self._environment = threading.Thread(
            target=self._log_environment, name=f"environment-{self._run_id}", daemon=True
        )
        self._environment.start()
        self._has_ended = threading.Event()
        threading.Thread(
            target=self._tell_of_store, name=f"store-{self._run_id}", daemon=True
        ).start()

    def _tell_of_store(self) -> None:
        """Say that the program waits for its store, which the output does not show."""
        note, said = self._started.entry.read(), ""
        while note is not None and note.proxy and not self._has_ended.wait(_TELL_SECONDS):
            waits_for = store_waited_for(note.proxy)
            if waits_for and not said:
                _logger.warning(
                    "=== Run (ID '%s') waits for its tracking store: %s ===",
                    self._run_id,
                    waits_for,
                )
            elif said and not waits_for:
                _logger.warning("=== The tracking store answers again ===")
            said = waits_for

    def to_end(self) -> None:
        """Wait for the end of the run, and write it down.

        An interrupt cancels the run; a second one ends the grace period.

        Raises:
            RunFailed: The program failed.
            RunKilled: The run was cancelled.
            TrackingUnreachable: The end could not be written; the supervisor does so later.
            EngineUnavailable: The engine went away and has not come back.
            KeyboardInterrupt: After the run was cancelled.
        """
        try:
            try:
                # A database would turn an interrupt into an error of its own.
                self._started.record.say_status(RUNNING)
                self._interrupts.release(hangup=False)
                ending = self._attended.to_ending()
            except KeyboardInterrupt:
                self._finish(self._interrupted())
                raise
            finished = self._finish(ending)
        finally:
            self._has_ended.set()
            follower_of(self._engine.host).leave(self._followed)
        if finished.outcome.status != FINISHED:
            raise run_error(self._run_id, finished)

    def _interrupted(self) -> Ending:
        grace = self._started.config.grace
        _logger.warning(
            "=== Run (ID '%s') interrupted: stopping it, up to %g s (again to kill it) ===",
            self._run_id,
            grace,
        )
        try:
            self._attended.stop(CANCELLED, grace)
            return self._attended.to_ending()
        except KeyboardInterrupt:
            self._attended.stop(CANCELLED, 0)
            return self._attended.to_ending()

    def _finish(self, ending: Ending) -> Finished:
        complete = self._display.drain()
        if complete and ending.there is not None and ending.there.was_started:
            self._display.compare()
            complete = self._display.drain()
        if self._attended.was_away and ending.there is not None:
            self._display.resume()
            complete = self._display.drain()
        if complete:
            self._spool.close()
        said = "=== Run (ID '%s') has ended; waiting for its store ==="
        reminder = threading.Timer(_REMINDER_SECONDS, _logger.warning, [said, self._run_id])
        reminder.daemon = True
        reminder.start()
        try:
            self._await_store()
            finished = finish_run(
                ending,
                self._engine,
                self._started.record.store,
                self._started.entry,
                spool=self._spool if complete and self._spool.error is None else None,
                environment=self._environment,
                run=self._run_at_end(),
            )
        except TrackingUnreachable as error:
            raise TrackingUnreachable(
                f"The end of run (ID '{self._run_id}') could not be written: {error.message}",
                remedy="The supervisor tries again, in the background, until it succeeds.",
            ) from error
        finally:
            reminder.cancel()
        if finished.missing:
            _logger.warning(
                "Artifacts of run (ID '%s') are missing; the supervisor tries again: %s",
                self._run_id,
                finished.missing,
            )
        self._display.join()
        self._spool.close()
        return finished

    def _await_store(self) -> None:
        uri = self._started.record.store.tracking_uri
        await_listener(uri, _STORE_PATIENCE_SECONDS, quiet=True)  # the reminder tells of it

    def _say_container(self, *, has_ended: bool) -> None:
        """Set the tag of the container; of a run that has ended, read the run while the engine clears up."""
        record = self._started.record
        try:
            if has_ended and not self._started.config.retries:  # at its end, it gets the tag anyway
                self._at_end = record.store.find_run(record.run_id, record.run.artifact_uri)
                self._read_at = time.monotonic()
            else:
                record.set_tags({labels_and_tags.TAG_CONTAINER_ID: self._started.container_id})
        except TrackingUnreachable as error:
            _logger.debug("Run (ID '%s'): %s", self._run_id, error.message)
        finally:
            self._has_said.set()

    def _run_at_end(self) -> StoredRun | None:
        """The run as it was read just now."""
        self._has_said.wait(_READ_SECONDS)
        return self._at_end if time.monotonic() - self._read_at < _READ_SECONDS else None

    def _log_environment(self) -> None:
        # To read a file from a container delays its start and its end.
        has_ended = self._followed.wait_for_death(_SHORT_RUN_SECONDS)
        try:
            self._await_store()
            self._say_container(has_ended=has_ended)
            log_environment(
                self._engine,
                self._started.record,
                self._started.container_id,
                self._started.files.recorded,
                self._started.files.files,
                self._started.image_id,
            )
        except Exception as error:  # noqa: BLE001 each artifact store raises its own kind
            _logger.warning(
                "The environment of run (ID '%s') is not among its artifacts: %s",
                self._run_id,
                without_credentials(str(error)),
            )


@dataclass(frozen=True)
class Started:
    """A run whose container was started by this process, which holds the lock of its entry.

    Attributes:
        secrets: Masked in the output.
        most_output: How much of the output is kept, in bytes; None for all.
    """

    engine: Engine
    record: RunRecord
    container_id: str
    entry: Entry
    image_id: str
    files: RunFiles
    secrets: frozenset[bytes] = field(repr=False)
    config: BackendConfig
    most_output: int | None = None

    def as_run(self) -> ContainerRun:
        from container_backend.runs.handle import ContainerRun

        uri = self.record.store.tracking_uri
        return ContainerRun(self.engine.host, uri, self.record.run_id, self.container_id)
