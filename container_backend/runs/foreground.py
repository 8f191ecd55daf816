"""A run that somebody waits for in front of it: its output is shown, an interrupt cancels it."""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from container_backend import naming
from container_backend.container import (
    FINISHED,
    RUNNING,
    Ending,
    Followed,
    Signs,
    follower_of,
    gathered,
    inspect_container,
    outcome_at,
    start_container,
)
from container_backend.engine import ENGINE_ERRORS, SHUTDOWN_SECONDS, containers
from container_backend.errors import ContainerError, EngineUnavailable, TrackingUnreachable
from container_backend.masking import without_credentials
from container_backend.runs.ending import Finished, finish_run, may_retry, pause_before, run_error
from container_backend.runs.output import Display, LogSpool, Output
from container_backend.store import is_listening, log_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.container import RunContainer
    from container_backend.engine import Engine
    from container_backend.machine import Interrupts
    from container_backend.runs.ledger import Entry
    from container_backend.runs.output import Chunk
    from container_backend.runs.run_files import RunFiles
    from container_backend.store import RunRecord

_logger = logging.getLogger(__package__)
# For so long an engine may be away before this process leaves the run to the supervisor.
_ENGINE_PATIENCE_SECONDS: Final = 600.0
_AWAY_PAUSE_SECONDS: Final = 1.0
# And a tracking server, which is about as long as MLflow's client would try.
_STORE_PATIENCE_SECONDS: Final = 300.0
# For so long a connection may say nothing before the container is looked at anyway.
_LOOK_SECONDS: Final = 60.0
# The store may take so long to take the end of a run before that is said.
_REMINDER_SECONDS: Final = 5.0
# What takes less time is over before anything else is done with it.
_SHORT_RUN_SECONDS: Final = 1.0
# Where in the entry the output is spooled that is shown.
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
        """Begin to show what it says.

        Args:
            started: The run.
            watch: Over its container.
            write: Takes the output.
            interrupts: Held until somebody is there to handle them.
        """
        self._started = started
        self._interrupts = interrupts
        self._engine = started.engine
        self._run_id = started.record.run_id
        self._spool = LogSpool(started.entry.folder / _SHOWN, started.secrets)
        self._display = Display(started.engine, started.container_id, write, self._spool)
        self._display.show(watch.output)
        self._followed: Followed = watch.followed
        self._attempts = 1
        self._was_away = False
        self._deadline = self._new_deadline()
        self._last: RunContainer | None = None
        self._environment = threading.Thread(
            target=self._log_environment, name=f"environment-{self._run_id}", daemon=True
        )
        self._environment.start()

    def to_end(self) -> Finished:
        """Wait for the end, and write it down.

        An interrupt cancels the run; a second one does not grant the grace period.

        Raises:
            RunFailed: The program failed.
            RunKilled: The run was cancelled.
            TrackingUnreachable: The end could not be written down; that is done later.
            EngineUnavailable: The engine went away and has not come back.
            KeyboardInterrupt: As it came, after the run was cancelled.
        """
        try:
            try:
                # An interrupt in the middle of a database's work comes out as an error of its.
                self._started.record.say_status(RUNNING)
                self._interrupts.release(hangup=False)
                ending = self._await_ending()
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
            self._stop(naming.CANCELLED, grace)
            return self._await_ending()
        except KeyboardInterrupt:
            self._stop(naming.CANCELLED, 0)
            return self._await_ending()

    def _stop(self, ending: str, grace: float) -> None:
        """The name first: whoever finishes the run knows why it ended."""
        container_id = self._started.container_id
        try:
            containers.rename(
                self._engine, container_id, naming.container_name(self._run_id, ending)
            )
            containers.stop(self._engine, container_id, grace)
        except ENGINE_ERRORS as error:
            _logger.warning("The engine does not answer: %s", error)

    def _await_ending(self) -> Ending:
        """Until the program will not go on, and is not started again."""
        while True:
            found = self._await_container()
            last = found or self._last
            ending = Ending(self._run_id, last, found is None, self._followed.signs, self._attempts)
            outcome = outcome_at(ending)
            if found is None or not may_retry(found, outcome, self._attempts):
                return ending
            self._attempts, pause = self._started.entry.count_attempt(pause_before)
            _logger.warning(
                "=== Run (ID '%s') failed: %s. Starting it again in %g s (attempt %d of %d) ===",
                self._run_id, outcome.reason, pause, self._attempts, found.retries + 1,
            )  # fmt: skip
            time.sleep(pause)
            self._start_again()

    def _start_again(self) -> None:
        container_id = self._started.container_id
        try:
            output = Output(self._engine, container_id)
            start_container(self._engine, container_id)
        except (ContainerError, *ENGINE_ERRORS) as error:
            _logger.warning("=== It could not be started: %s ===", error)
            return
        self._followed.signs = Signs()
        self._deadline = self._new_deadline()
        self._display.join()
        self._display.show(output)

    def _await_container(self) -> RunContainer | None:
        """The container when it has ended; None where it is gone."""
        away_since: float | None = None
        waited = False
        while True:
            self._followed.wait(0 if waited else self._seconds_to_wait(away_since))
            try:
                found = inspect_container(self._engine, self._started.container_id)
                self._followed.signs = gathered(self._engine, found, self._followed.signs)
            except ENGINE_ERRORS as error:
                away_since = self._away(away_since, error)
                continue
            if self._followed.is_lost:  # back, but not heard yet
                away_since = away_since or time.monotonic()
                continue
            if away_since is not None:
                _logger.warning("=== The engine is back ===")
                away_since = None
            self._resume_display()
            if found is None:
                return None
            self._last = found
            if found.has_ended:
                # An engine that is shut down first ends its containers, as somebody would.
                stopped = self._followed.signs.signal and not found.ending
                if not stopped or waited:
                    return found
                waited = not self._followed.wait_for_loss(SHUTDOWN_SECONDS)
                continue
            self._followed.is_alive()
            if time.monotonic() >= self._deadline:
                self._time_out()

    def _resume_display(self) -> None:
        self._was_away = self._was_away or self._followed.signs.engine_lost
        if self._was_away:
            self._display.resume()

    def _time_out(self) -> None:
        self._deadline = math.inf
        _logger.warning(
            "=== Run (ID '%s') takes longer than %g s: stopping it ===",
            self._run_id,
            self._started.timeout,
        )
        self._stop(naming.TIMED_OUT, self._started.grace)

    def _new_deadline(self) -> float:
        timeout = self._started.timeout
        return math.inf if timeout is None else time.monotonic() + timeout

    def _seconds_to_wait(self, away_since: float | None) -> float:
        if away_since is not None:
            return _AWAY_PAUSE_SECONDS
        # An engine that is just back may end a stream of output that it should follow.
        look = _LOOK_SECONDS if self._display.goes_on else _AWAY_PAUSE_SECONDS
        return min(look, max(0.0, self._deadline - time.monotonic()))

    def _away(self, since: float | None, error: BaseException) -> float:
        now = time.monotonic()
        if since is None:
            _logger.warning("=== The engine does not answer; waiting for it: %s ===", error)
            return now
        if now - since > _ENGINE_PATIENCE_SECONDS:
            raise EngineUnavailable(
                f"The engine at {self._engine.host.url} went away while the run "
                f"(ID '{self._run_id}') was going on.",
                remedy="The run gets its status when the engine is back; "
                f"see `container-backend status {self._run_id}`.",
            ) from error
        return since

    def _finish(self, ending: Ending) -> Finished:
        complete = self._display.drain()
        if complete and ending.there is not None and ending.there.was_started:
            self._display.compare()
            complete = self._display.drain()
        if self._was_away and ending.there is not None:
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
            raise TrackingUnreachable(f"nobody answers at {address}")

    def _await_listener(self) -> bool:
        """Whether somebody answers at the address of the store, at last."""
        deadline = time.monotonic() + _STORE_PATIENCE_SECONDS
        while not (found := is_listening(self._started.record.store.tracking_uri)):
            if time.monotonic() > deadline:
                break
            time.sleep(_AWAY_PAUSE_SECONDS)
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
    """What is seen of a container from before its start.

    Attributes:
        followed: What happens to it.
        output: Of its program, from the first byte on.
    """

    followed: Followed
    output: Output


@dataclass(frozen=True)
class Started:
    """A run whose container was started by this process, and that nobody else finishes meanwhile.

    Attributes:
        engine: Where the container is.
        record: Of the run.
        container_id: Of the container.
        entry: In the ledger; locked.
        image_id: Of the container.
        files: For its artifacts.
        secrets: What must not be seen of its output.
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
