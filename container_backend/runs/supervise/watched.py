"""A run as the supervisor sees it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from container_backend.container import Signs, after_loss, with_event

if TYPE_CHECKING:
    from container_backend.container import RunContainer
    from container_backend.engine import Event

# What there is of a run that goes on is logged after so long, and then twice as long, each time.
_FIRST_PROGRESS_SECONDS: Final = 60.0
_LONGEST_PROGRESS_SECONDS: Final = 3600.0
# After this many times, a day, the store of artifacts is no longer insisted on.
_MOST_INCOMPLETE: Final = 150
# A store that is away for minutes is back soon after; one that is away for hours is not hurried.
_SHORT_PAUSE_SECONDS: Final = 2.0
_SHORT_PAUSES: Final = 30
_LONG_PAUSE_SECONDS: Final = 30.0
_LONGEST_PAUSE_SECONDS: Final = 600.0


@dataclass
class Watched:
    """What is known of a run, and what is to be done for it.

    Attributes:
        submission: The name of its entry in the ledger.
        tracking_uri: Of the run.
        run_id: Of the run; empty where it is not known.
        experiment_id: Of the run.
        container: As it was seen last.
        signs: What else was seen of it.
        is_gone: Whether there is no container any more.
        attempts: How many times the program was started.
        restarts: Whether it is about to be started again.
        due: When its end is to be seen to, by the monotonic clock; not before it has ended.
        deadline: When its program has had its time.
        progress_due: When what there is of it is to be logged.
        busy: Whether somebody is at it.
        tries: How many times its end was seen to.
        incomplete: How many times of those the store lacked nothing but artifacts.
    """

    submission: str
    tracking_uri: str
    run_id: str = ""
    experiment_id: str = ""
    container: RunContainer | None = None
    signs: Signs = field(default_factory=Signs)
    is_gone: bool = False
    has_died: bool = False
    attempts: int = 1
    restarts: bool = False
    due: float = math.inf
    deadline: float = math.inf
    progress_due: float = math.inf
    progress_pause: float = _FIRST_PROGRESS_SECONDS
    busy: bool = False
    tries: int = 0
    incomplete: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether its program will not go on by itself."""
        return self.due < math.inf

    @property
    def insists(self) -> bool:
        """Whether the artifact store must take everything before the container goes."""
        return self.incomplete < _MOST_INCOMPLETE

    def take(self, event: Event) -> None:
        """Take note of an event."""
        self.signs = with_event(self.signs, event)
        if event.action in {"start", "die"}:
            self.has_died = event.action == "die"

    def engine_was_away(self) -> None:
        """Take note of that."""
        self.signs = after_loss(self.signs, has_died=self.has_died)

    def runs(self, container: RunContainer, passed: float) -> None:
        """It was seen running.

        Args:
            container: As it is now.
            passed: Seconds since its program was started.
        """
        now = time.monotonic()
        self.container, self.has_died, self.due = container, False, math.inf
        self.restarts = False
        if container.timeout is not None and not container.ending:
            self.deadline = now + container.timeout - passed
        else:
            self.deadline = math.inf
        if self.progress_due == math.inf:
            self.progress_due = now + self.progress_pause

    def end(self, in_seconds: float) -> None:
        """It has ended; that is to be seen to in so many seconds."""
        self.due = min(self.due, time.monotonic() + in_seconds)
        self.deadline = self.progress_due = math.inf

    def try_again(self, *, incomplete: bool) -> float:
        """Its end could not be written down; gives the seconds until the next time.

        Args:
            incomplete: Whether nothing but artifacts is missing.
        """
        self.tries += 1
        if incomplete:
            self.incomplete += 1
            pause = min(_LONGEST_PAUSE_SECONDS, _LONG_PAUSE_SECONDS * self.incomplete)
        else:
            pause = _SHORT_PAUSE_SECONDS if self.tries <= _SHORT_PAUSES else _LONG_PAUSE_SECONDS
        self.due = time.monotonic() + pause
        return pause

    def made_progress(self) -> None:
        """What there is was logged."""
        self.progress_pause = min(_LONGEST_PROGRESS_SECONDS, 2 * self.progress_pause)
        self.progress_due = time.monotonic() + self.progress_pause
