"""What a process that watches a run does next. Pure.

Three processes watch runs: the client, the supervisor, and any process that calls ``wait()``.
Each notes in a :class:`Seen` what it sees, asks :func:`decide`, and carries out the answer. All
times are seconds of the monotonic clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from container_backend.container import TIMED_OUT, Ending, Signs, outcome_at
from container_backend.engine import SHUTDOWN_SECONDS
from container_backend.runs.ending.retries import may_retry, pause_before

if TYPE_CHECKING:
    from container_backend.container import RunContainer

# Pause before asking again: for an engine that is away, a lock that is held, a start that was not
# seen.
PROBE_SECONDS: Final = 1.0
# A process that marked a run and has not stopped it in the grace period and this time is dead.
STOP_SECONDS: Final = 2.0
# The other machine that started a run has this time to finish it.
STRANGER_SECONDS: Final = 5.0
# The client or the supervisor has this time to write the end, before `wait()` does so.
BYSTANDER_SECONDS: Final = 10.0


class Hold(Enum):
    """Which process is responsible for a run, by the lock of its ledger entry.

    Attributes:
        OWN: This process holds the lock.
        TAKEN: Another process holds the lock.
        LEFT: No process holds the lock.
        NO_ENTRY: The run was finished, or was started on another machine.
        BYSTANDER: This process waits, and finishes the run only if all others are gone.
    """

    OWN = auto()
    TAKEN = auto()
    LEFT = auto()
    NO_ENTRY = auto()
    BYSTANDER = auto()


@dataclass(frozen=True)
class Seen:
    """What a process that watches a run has seen of it.

    Attributes:
        run_id: Empty if not known.
        container: As it was last; None if never seen.
        is_gone: The container is missing now.
        attempts: Number of starts of the program, with failed starts and the noted one.
        ended_at: When the program was first seen to have ended.
        deadline: When the timeout is over; None if not known.
        marked_at: When the mark was first seen on the running container.
        is_stopping: This process has stopped the program.
        starts_at: When the noted attempt starts; None if none is noted.
        away_since: When the engine was first found to be away; None while it answers.
    """

    run_id: str
    hold: Hold = Hold.OWN
    container: RunContainer | None = None
    is_gone: bool = False
    signs: Signs = field(default_factory=Signs)
    attempts: int = 1
    ended_at: float | None = None
    deadline: float | None = None
    marked_at: float | None = None
    is_stopping: bool = False
    starts_at: float | None = None
    away_since: float | None = None

    @property
    def ending(self) -> Ending:
        return Ending(self.run_id, self.container, self.is_gone, self.signs, self.attempts)

    @property
    def mark(self) -> str:
        """Empty for none."""
        return self.container.ending if self.container is not None else ""

    def looked_at(
        self, found: RunContainer | None, signs: Signs, now: float, passed: float | None = None
    ) -> Seen:
        """After the container was inspected.

        Args:
            found: None if the container is missing.
            passed: Seconds since the program started, to set the deadline; None to keep it.
        """
        seen = replace(self, signs=signs, away_since=None)
        if found is None or found.has_ended:
            return replace(
                seen,
                container=found or self.container,
                is_gone=found is None,
                ended_at=now if self.ended_at is None else self.ended_at,
                deadline=None,
            )
        marked_at = self.marked_at if found.ending and self.marked_at is not None else now
        return replace(
            seen,
            container=found,
            is_gone=False,
            signs=replace(signs, engine_lost=False),  # the program outlived the engine
            ended_at=None,
            deadline=self.deadline if passed is None else deadline_of(found.timeout, now - passed),
            marked_at=marked_at if found.ending else None,
            starts_at=None,
        )

    def without_engine(self, now: float) -> Seen:
        """After the engine did not answer."""
        return replace(self, away_since=now if self.away_since is None else self.away_since)

    def noted(self, attempt: int, starts_at: float) -> Seen:
        return replace(self, attempts=attempt, starts_at=starts_at)

    def started(self, now: float) -> Seen:
        """After the program was started again."""
        timeout = self.container.timeout if self.container is not None else None
        return replace(
            self,
            signs=Signs(),
            ended_at=None,
            deadline=deadline_of(timeout, now),
            starts_at=None,
            is_stopping=False,
        )

    def not_started(self) -> Seen:
        """After the start of an attempt failed."""
        return replace(self, starts_at=None)


def deadline_of(timeout: float | None, started_at: float) -> float:
    return math.inf if timeout is None else started_at + timeout


@dataclass(frozen=True)
class Wait:
    """Do nothing until this time or the next event."""

    until: float


@dataclass(frozen=True)
class Stop:
    """Mark the run and stop its program with the grace period of the container."""

    mark: str


@dataclass(frozen=True)
class TryAgain:
    """Note the next attempt, which starts after a pause in seconds.

    Attributes:
        reason: Why the last attempt failed.
    """

    attempt: int
    pause: float
    reason: str


@dataclass(frozen=True)
class Start:
    """Start the container now, as the noted attempt."""


@dataclass(frozen=True)
class Finish:
    """Write down the end."""

    ending: Ending


@dataclass(frozen=True)
class Leave:
    """Do nothing more: another process has finished the run."""

    ending: Ending


def decide(seen: Seen, now: float) -> Wait | Stop | TryAgain | Start | Finish | Leave:
    if seen.is_gone and seen.hold is Hold.NO_ENTRY:
        return Leave(seen.ending)
    if seen.away_since is not None:
        return Wait(now + PROBE_SECONDS)
    if seen.ended_at is None:
        return _while_it_runs(seen, now)
    if seen.hold is Hold.TAKEN:
        return Wait(now + PROBE_SECONDS)
    settled_at = _settled_at(seen, seen.ended_at)
    return Wait(settled_at) if now < settled_at else _after_the_end(seen, now)


def _while_it_runs(seen: Seen, now: float) -> Wait | Stop:
    if seen.hold is Hold.BYSTANDER or seen.is_stopping:
        return Wait(math.inf)
    mark, due = TIMED_OUT, math.inf if seen.deadline is None else seen.deadline
    if seen.container is not None and seen.marked_at is not None:
        mark, due = seen.mark, seen.marked_at + seen.container.grace + STOP_SECONDS
    return Stop(mark) if now >= due else Wait(due)


def _is_finished(seen: Seen) -> bool:
    return not (seen.is_gone or seen.container is None or seen.container.is_ours_to_finish)


def _settled_at(seen: Seen, ended_at: float) -> float:
    """When this process may take the end of the program for the end of the attempt."""
    if seen.hold is Hold.BYSTANDER:
        return max(ended_at, seen.starts_at or ended_at) + BYSTANDER_SECONDS
    if _is_finished(seen):
        return ended_at
    if seen.hold is Hold.NO_ENTRY:
        return ended_at + STRANGER_SECONDS
    container = seen.ending.there
    is_new = container is None or not _was_tried(container)
    if seen.hold is Hold.LEFT and seen.container is not None and is_new:
        # The client may be about to finish the run or to start its container.
        return ended_at + PROBE_SECONDS
    if container is not None and seen.signs.signal and not (seen.mark or seen.signs.engine_lost):
        # The signal may come from an engine that shuts down: it goes away within this time.
        return ended_at + SHUTDOWN_SECONDS
    return ended_at


def _was_tried(container: RunContainer) -> bool:
    return container.was_started or bool(container.state.get("Error"))


def _after_the_end(seen: Seen, now: float) -> Wait | TryAgain | Start | Finish | Leave:
    container = seen.ending.there
    if container is None:
        return Finish(seen.ending)
    if _is_finished(seen):
        return Leave(seen.ending)
    outcome = outcome_at(seen.ending)
    if seen.starts_at is not None and not (seen.mark or seen.hold is Hold.BYSTANDER):
        return Start() if now >= seen.starts_at else Wait(seen.starts_at)
    if not (may_retry(container, outcome, seen.attempts) or _may_start_again(seen, container)):
        return Finish(seen.ending)
    if seen.hold is Hold.BYSTANDER:
        return Wait(now + BYSTANDER_SECONDS)
    attempt = seen.attempts + 1
    return TryAgain(attempt, pause_before(attempt), outcome.reason)


def _may_start_again(seen: Seen, container: RunContainer) -> bool:
    """True if retries are left after the engine refused to start a later attempt.

    The container then has an error beside the exit code of the attempt before. An engine that did
    not answer leaves no error: the exit code of the attempt before decides again.
    """
    was_refused = container.was_started and bool(container.state.get("Error"))
    return was_refused and not seen.mark and seen.attempts <= container.retries
