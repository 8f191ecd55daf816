"""Carries out, for a client that waits in a terminal, what :func:`decide` answers."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from container_backend.container import (
    TIMED_OUT,
    Ending,
    Followed,
    Signs,
    gathered,
    inspect_container,
    start_again,
    stop_run,
)
from container_backend.errors import ContainerError, EngineError, EngineUnavailable
from container_backend.runs.ending.course import (
    Finish,
    Leave,
    Seen,
    Start,
    Stop,
    TryAgain,
    Wait,
    decide,
)
from container_backend.runs.output import Output
from container_backend.runs.tracking import is_fenced

if TYPE_CHECKING:
    from container_backend.engine import Engine
    from container_backend.runs.ledger import Entry
    from container_backend.runs.output import Display

_logger = logging.getLogger(__package__)
# An engine may be away for this time; then the client leaves the run to the supervisor.
_ENGINE_PATIENCE_SECONDS: Final = 600.0
# The container is inspected this often even if no event comes.
_LOOK_SECONDS: Final = 60.0
_SHORT_LOOK_SECONDS: Final = 1.0


@dataclass
class Attended:
    """A run from the start of its container on; this process holds the lock of its entry.

    Attributes:
        was_away: The engine was away, so the stream of output may lack its end.
    """

    engine: Engine
    container_id: str
    seen: Seen
    entry: Entry
    followed: Followed
    display: Display
    was_away: bool = False

    def stop(self, mark: str, grace: float | None = None) -> None:
        """Mark the run and stop its program; if the engine does not answer, only log that.

        Args:
            grace: Seconds until SIGKILL; those of the container by default.
        """
        try:
            stop_run(self.engine, self.container_id, self.seen.run_id, mark, grace)
        except EngineError as error:
            _logger.warning("The program could not be stopped: %s", error.message)
        else:
            self.seen = replace(self.seen, is_stopping=True)

    def to_ending(self) -> Ending:
        """Wait until the program has ended and no attempt is left.

        Raises:
            EngineUnavailable: The engine was away for ten minutes.
        """
        while True:
            course = decide(self.seen, time.monotonic())
            if isinstance(course, Finish | Leave):
                return course.ending
            self._carry_out(course)
            self._look()

    def _carry_out(self, course: Wait | Stop | TryAgain | Start) -> None:
        if isinstance(course, Wait):
            self.followed.wait(max(0.0, min(self._look_seconds(), course.until - time.monotonic())))
        elif isinstance(course, Stop):
            said = "=== Run (ID '%s') %s: stopping it ==="
            _logger.warning(said, self.seen.run_id, self._why(course.mark))
            self.stop(course.mark)
        elif isinstance(course, TryAgain):
            self._note_attempt(course)
        else:
            self._start_again()

    def _why(self, mark: str) -> str:
        timeout = self.seen.container.timeout if self.seen.container is not None else None
        if mark == TIMED_OUT and timeout is not None:
            return f"takes longer than {timeout:g} s"
        return f"is marked as {mark}"

    def _note_attempt(self, course: TryAgain) -> None:
        container = self.seen.container
        _logger.warning(
            "=== Run (ID '%s') failed: %s. Starting it again in %g s (attempt %d of %d) ===",
            self.seen.run_id,
            course.reason,
            course.pause,
            course.attempt,
            container.retries + 1 if container is not None else course.attempt,
        )
        self.entry.note_attempt(course.attempt, time.time() + course.pause)
        self.seen = self.seen.noted(course.attempt, time.monotonic() + course.pause)

    def _start_again(self) -> None:
        if not is_fenced(self.entry):
            self.followed.wait(_SHORT_LOOK_SECONDS)
            return
        container = self.seen.container
        assert container is not None  # noqa: S101 it has ended
        self.display.drain()  # what follows the log would go on with the output of the next attempt
        try:
            output = Output(self.engine, self.container_id)
            start_again(self.engine, container)
        except (ContainerError, EngineError) as error:
            _logger.warning("=== The program could not be started again: %s ===", error)
            self.seen = self.seen.not_started()
            return
        self.followed.signs = Signs()
        self.seen = self.seen.started(time.monotonic())
        self.display.show(output)

    def _look(self) -> None:
        """Note the state of the container, or that the engine does not answer."""
        try:
            found = inspect_container(self.engine, self.container_id)
            self.followed.signs = gathered(self.engine, found, self.followed.signs)
        except EngineError as error:
            self._note_absence(error)
            return
        now = time.monotonic()
        if self.followed.is_lost:  # the engine is back, but its events are not read yet
            self.seen = self.seen.without_engine(now)
            return
        if self.seen.away_since is not None:
            _logger.warning("=== The engine is back ===")
        self.was_away = self.was_away or self.followed.signs.engine_lost
        if self.was_away:
            self.display.resume()
        self.seen = self.seen.looked_at(found, self.followed.signs, now)
        if self.seen.ended_at is None:
            self.followed.note_alive()

    def _look_seconds(self) -> float:
        # An engine that has just come back may end a stream of output too early.
        is_shown = self.display.goes_on or self.seen.ended_at is not None
        return _LOOK_SECONDS if is_shown else _SHORT_LOOK_SECONDS

    def _note_absence(self, error: EngineError) -> None:
        now = time.monotonic()
        if self.seen.away_since is None:
            _logger.warning("=== Waiting for the engine: %s ===", error.message)
        self.seen = self.seen.without_engine(now)
        if now - (self.seen.away_since or now) > _ENGINE_PATIENCE_SECONDS:
            raise EngineUnavailable(
                f"The engine at {self.engine.host.url} went away during the run "
                f"(ID '{self.seen.run_id}').",
                remedy="The run gets its status when the engine is back; "
                f"see `container-backend status {self.seen.run_id}`.",
            ) from error
