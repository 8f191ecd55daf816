"""A run that its client waits for: the output is shown, an interrupt cancels the run."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

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
from container_backend.runs.output import Display, LogSpool, Output
from container_backend.store import is_listening, log_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.container import Followed
    from container_backend.engine import Engine
    from container_backend.machine import Interrupts
    from container_backend.runs.handle import ContainerRun
    from container_backend.runs.ledger import Entry
    from container_backend.runs.output import Chunk
    from container_backend.runs.run_files import RunFiles
    from container_backend.store import RunRecord

_logger = logging.getLogger(__package__)
_PAUSE_SECONDS: Final = 1.0
# A tracking server may be away for this time: about as long as MLflow's client would try.
_STORE_PATIENCE_SECONDS: Final = 300.0
# After this time a person is told that the store has not taken the end of the run yet.
_REMINDER_SECONDS: Final = 5.0
# A program that takes less time ends before the environment is read out of its container.
_SHORT_RUN_SECONDS: Final = 1.0
# The folder of the entry with the output that is shown.
_SHOWN: Final = "shown"


class Foreground:
    """Follows a run that was just started to its end, in the calling thread."""

    def __init__(
        self,
        started: Started,
        watch: Watch,
        write: Callable[[Chunk], None],
        interrupts: Interrupts,
    ) -> None:
        """Begin to show the output.

        Args:
            started: The run.
            watch: Over its container.
            write: Takes the output.
            interrupts: Held; released when :meth:`to_end` can handle them.
        """
        self._started = started
        self._interrupts = interrupts
        self._engine = started.engine
        self._run_id = started.record.run_id
        self._spool = LogSpool(started.entry.folder / _SHOWN, started.secrets)
        self._display = Display(started.engine, started.container_id, write, self._spool)
        self._display.show(watch.output)
        self._followed = watch.followed
        self._attended = Attended(
            started.engine,
            started.container_id,
            Seen(self._run_id, deadline=deadline_of(started.timeout, time.monotonic())),
            started.entry,
            watch.followed,
            self._display,
        )
        self._environment = threading.Thread(
            target=self._log_environment, name=f"environment-{self._run_id}", daemon=True
        )
        self._environment.start()

    def to_end(self) -> Finished:
        """Wait for the end, and write it down.

        An interrupt cancels the run; a second one ends the grace period.

        Raises:
            RunFailed: The program failed.
            RunKilled: The run was cancelled.
            TrackingUnreachable: The end could not be written down; the supervisor does so later.
            EngineUnavailable: The engine went away and has not come back.
            KeyboardInterrupt: After the run was cancelled.
        """
        try:
            try:
                # A database would turn an interrupt during its work into an error of its own.
                self._started.record.say_status(RUNNING)
                self._interrupts.release(hangup=False)
                ending = self._attended.to_ending()
            except KeyboardInterrupt:
                self._finish(self._interrupted())
                raise
            finished = self._finish(ending)
        finally:
            follower_of(self._engine.host).leave(self._followed)
        if finished.outcome.status == FINISHED:
            return finished
        raise run_error(self._run_id, finished)

    def _interrupted(self) -> Ending:
        grace = self._started.grace
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
        reminder = threading.Timer(_REMINDER_SECONDS, self._remind)
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
            )
        except TrackingUnreachable as error:
            raise self._unwritten(error.message) from error
        finally:
            reminder.cancel()
        if finished.missing:
            _logger.warning(
                "Not all of run (ID '%s') is among its artifacts yet; it is tried again: %s",
                self._run_id,
                finished.missing,
            )
        self._display.join()
        return finished

    def _await_store(self) -> None:
        if not self._await_listener():
            address = without_credentials(self._started.record.store.tracking_uri)
            raise TrackingUnreachable(f"no server answers at {address}")

    def _await_listener(self) -> bool:
        """True once the store answers; False after five minutes without an answer."""
        deadline = time.monotonic() + _STORE_PATIENCE_SECONDS
        while not (found := is_listening(self._started.record.store.tracking_uri)):
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE_SECONDS)
        return found

    def _unwritten(self, why: str) -> TrackingUnreachable:
        return TrackingUnreachable(
            f"The end of run (ID '{self._run_id}') cannot be written down: {why}",
            remedy="It is tried again, in the background, until it works.",
        )

    def _remind(self) -> None:
        _logger.warning("=== Run (ID '%s') has ended; waiting for its store ===", self._run_id)

    def _log_environment(self) -> None:
        # Reading a file out of a container that is being started, or ends, holds both up.
        self._followed.wait_for_death(_SHORT_RUN_SECONDS)
        self._await_listener()
        try:
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
class Watch:
    """What a client connects to before the start of a container.

    Attributes:
        followed: The events of the container.
        output: Of its program, from the first byte on.
    """

    followed: Followed
    output: Output


@dataclass(frozen=True)
class Started:
    """A run whose container was started by this process, which holds the lock of its entry.

    Attributes:
        engine: Where the container is.
        record: Of the run.
        container_id: Of the container.
        entry: In the ledger; locked.
        image_id: Of the container.
        files: For its artifacts.
        secrets: Masked in its output.
        grace: Seconds between being asked to stop and SIGKILL.
        timeout: Seconds that the program may take.
    """

    engine: Engine
    record: RunRecord
    container_id: str
    entry: Entry
    image_id: str
    files: RunFiles
    secrets: frozenset[bytes] = field(repr=False)
    grace: float
    timeout: float | None

    def as_run(self) -> ContainerRun:
        """The run as its caller sees it."""
        from container_backend.runs.handle import ContainerRun

        uri = self.record.store.tracking_uri
        return ContainerRun(self.engine.host, uri, self.record.run_id, self.container_id)
