"""The course of a run: what a process that watches the run does next. Pure.

Three watch a run: the client that waits in front of it, the supervisor, and ``wait()`` in any
process. Each notes in a :class:`Seen` what it sees, asks :func:`decide`, and carries out the answer.
All times are seconds of the monotonic clock.
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

# After this time a watcher asks again: about an engine that is away, a lock that is held, a start
# that was not seen.
PROBE_SECONDS: Final = 1.0
# The process that marked a run stops it within the grace period and this time, or has died.
STOP_SECONDS: Final = 2.0
# The machine that started a run without an entry here has this time to finish the run.
STRANGER_SECONDS: Final = 5.0
# The client or the supervisor has this time to write the end, before `wait()` does so.
BYSTANDER_SECONDS: Final = 10.0


class Hold(Enum):
    """Which process sees to a run, as its entry in the ledger says.

    Attributes:
        OWN: This one holds the lock of the entry.
        TAKEN: Another one holds the lock.
        LEFT: None holds the lock.
        NO_ENTRY: The run was finished, or started on another machine.
        BYSTANDER: Not this one: it only waits, and finishes the run if all others are gone.
    """

    OWN = auto()
    TAKEN = auto()
    LEFT = auto()
    NO_ENTRY = auto()
    BYSTANDER = auto()


@dataclass(frozen=True)
class Seen:
    """A run as a process that watches it has seen it.

    Attributes:
        run_id: The MLflow run; empty if not known.
        hold: Which process sees to the run.
        container: Its container as it was last; None if never seen.
        is_gone: The container is missing now.
        signs: What the container's state does not say.
        attempts: How often its program was started, with failed and with noted starts.
        ended_at: When its program was first seen not to run.
        deadline: When its time is over; None if not known.
        marked_at: When its mark was first seen on the running container.
        is_stopping: This process has stopped it.
        starts_at: When the noted attempt starts; None if none is noted.
        away_since: When the engine was found to be away; None if it answers.
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
        """For the process that writes it down."""
        return Ending(self.run_id, self.container, self.is_gone, self.signs, self.attempts)

    @property
    def mark(self) -> str:
        """The mark of the run; empty for none."""
        return self.container.ending if self.container is not None else ""

    def looked_at(
        self, found: RunContainer | None, signs: Signs, now: float, passed: float | None = None
    ) -> Seen:
        """After a look at the container.

        Args:
            found: None if it is missing.
            signs: What was seen besides.
            now: The time of the look.
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
            signs=replace(signs, engine_lost=False),  # the engine's end has not ended it
            ended_at=None,
            deadline=self.deadline if passed is None else deadline_of(found.timeout, now - passed),
            marked_at=marked_at if found.ending else None,
            starts_at=None,
        )

    def without_engine(self, now: float) -> Seen:
        """After the engine did not answer."""
        return replace(self, away_since=now if self.away_since is None else self.away_since)

    def noted(self, attempt: int, starts_at: float) -> Seen:
        """After the next attempt was noted in the ledger."""
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
    """When the time of a program is over that was started then."""
    return math.inf if timeout is None else started_at + timeout


@dataclass(frozen=True)
class Wait:
    """Nothing, until then or until something happens."""

    until: float


@dataclass(frozen=True)
class Stop:
    """Mark the run and stop its program, with the grace period of its container."""

    mark: str


@dataclass(frozen=True)
class TryAgain:
    """Note the next attempt, which starts after a pause.

    Attributes:
        attempt: Its number.
        pause: Seconds.
        reason: Why the attempt before has failed.
    """

    attempt: int
    pause: float
    reason: str


@dataclass(frozen=True)
class Start:
    """Start the container now, as the noted attempt."""


@dataclass(frozen=True)
class Finish:
    """Write the end down."""

    ending: Ending


@dataclass(frozen=True)
class Leave:
    """Nothing any more: another process has finished the run."""

    ending: Ending


def decide(seen: Seen, now: float) -> Wait | Stop | TryAgain | Start | Finish | Leave:
    """What is next for a run.

    Args:
        seen: What is known of the run.
        now: The time.
    """
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
    """When the end of the program is the end of the attempt, for this process."""
    if seen.hold is Hold.BYSTANDER:
        return max(ended_at, seen.starts_at or ended_at) + BYSTANDER_SECONDS
    if _is_finished(seen):
        return ended_at
    if seen.hold is Hold.NO_ENTRY:
        return ended_at + STRANGER_SECONDS
    container = seen.ending.there
    is_new = container is None or not _was_tried(container)
    if seen.hold is Hold.LEFT and seen.container is not None and is_new:
        # Its client finishes it at this moment, or is about to start it.
        return ended_at + PROBE_SECONDS
    if container is not None and seen.signs.signal and not (seen.mark or seen.signs.engine_lost):
        # An engine that shuts down first ends its containers by signals that no client asked for.
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
    """True if the engine refused to start an attempt but the first, and retries are left.

    Such a container has an error beside the end of the attempt before. An engine that could not
    answer leaves no error: then the end of the attempt before decides once more.
    """
    was_refused = container.was_started and bool(container.state.get("Error"))
    return was_refused and not seen.mark and seen.attempts <= container.retries
