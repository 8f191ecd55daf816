"""A run as the supervisor knows it, and when something is due for it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from container_backend.container import after_loss, with_event

if TYPE_CHECKING:
    from container_backend.container import RunContainer
    from container_backend.engine import Event
    from container_backend.runs.ending import Seen

# Output and metrics of a running program are uploaded after this time, then after twice as long.
_FIRST_PROGRESS_SECONDS: Final = 60.0
_LONGEST_PROGRESS_SECONDS: Final = 3600.0
# After this many tries, about a day, a run is finished without its missing artifacts.
_MOST_INCOMPLETE: Final = 150
# A store that fails is tried often in the first minute, then less often.
_SHORT_PAUSE_SECONDS: Final = 2.0
_SHORT_PAUSES: Final = 30
_LONG_PAUSE_SECONDS: Final = 30.0
_LONGEST_PAUSE_SECONDS: Final = 600.0


@dataclass
class Watched:
    """A run of the supervisor. Times are of the monotonic clock.

    Attributes:
        submission: The name of the ledger entry.
        has_died: The last event said that the program ended.
        due: When to decide next.
        progress_due: When to upload the output and metrics so far.
        progress_pause: Seconds until the upload after that.
        busy: A finisher has the run.
        tries: Number of failed tries to finish the run.
        incomplete: Number of these in which only artifacts failed.
    """

    submission: str
    tracking_uri: str
    seen: Seen
    experiment_id: str = ""
    has_died: bool = False
    due: float = math.inf
    progress_due: float = math.inf
    progress_pause: float = _FIRST_PROGRESS_SECONDS
    busy: bool = False
    tries: int = 0
    incomplete: int = 0

    @property
    def run_id(self) -> str:
        return self.seen.run_id

    @property
    def container(self) -> RunContainer | None:
        return self.seen.container

    @property
    def insists(self) -> bool:
        """True while the container is kept for artifacts that could not be uploaded."""
        return self.incomplete < _MOST_INCOMPLETE

    @property
    def next_due(self) -> float:
        """When something is due; never while a finisher has the run."""
        return math.inf if self.busy else min(self.due, self.progress_due)

    def take(self, event: Event) -> None:
        self.seen = replace(self.seen, signs=with_event(self.seen.signs, event))
        if event.action in {"start", "die"}:
            self.has_died = event.action == "die"

    def engine_was_away(self) -> None:
        """After the engine came back; an engine may forget that it is to stop a program."""
        signs = after_loss(self.seen.signs, has_died=self.has_died)
        self.seen = replace(self.seen, signs=signs, is_stopping=False)

    def runs(self, container: RunContainer, passed: float | None) -> None:
        """After the program was seen running; it started ``passed`` seconds ago.

        Without ``passed``, a known deadline stays as it is. An unknown one is set by the clocks of
        engine and machine, which may jump.
        """
        now = time.monotonic()
        if passed is None and self.seen.deadline is None:
            passed = max(0.0, time.time() - (container.started_at or math.inf))
        self.seen = self.seen.looked_at(container, self.seen.signs, now, passed)
        self.has_died = False
        self.due = now
        if self.progress_due == math.inf:
            self.progress_due = now + self.progress_pause

    def ended(self, container: RunContainer | None) -> None:
        """After the program was seen to have ended; None if the container is missing."""
        self.due = now = time.monotonic()
        self.seen = self.seen.looked_at(container, self.seen.signs, now)
        self.progress_due = math.inf

    def try_again(self, *, incomplete: bool) -> float:
        """After a try failed, or only its artifacts did. Returns the seconds until the next try."""
        self.tries += 1
        if incomplete:
            self.incomplete += 1
            pause = min(_LONGEST_PAUSE_SECONDS, _LONG_PAUSE_SECONDS * self.incomplete)
        else:
            pause = _SHORT_PAUSE_SECONDS if self.tries <= _SHORT_PAUSES else _LONG_PAUSE_SECONDS
        self.due = time.monotonic() + pause
        return pause

    def made_progress(self) -> None:
        """After the output and metrics so far were given to a finisher."""
        self.progress_pause = min(_LONGEST_PROGRESS_SECONDS, 2 * self.progress_pause)
        self.progress_due = time.monotonic() + self.progress_pause
