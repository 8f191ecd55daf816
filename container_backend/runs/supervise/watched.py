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

# Output and metrics of a running program are logged after this time, then after twice as long.
_FIRST_PROGRESS_SECONDS: Final = 60.0
_LONGEST_PROGRESS_SECONDS: Final = 3600.0
# After this many tries, about a day, the run is finished without the missing artifacts.
_MOST_INCOMPLETE: Final = 150
# A store is asked often in the first minute, and then less often.
_SHORT_PAUSE_SECONDS: Final = 2.0
_SHORT_PAUSES: Final = 30
_LONG_PAUSE_SECONDS: Final = 30.0
_LONGEST_PAUSE_SECONDS: Final = 600.0


@dataclass
class Watched:
    """A run, and what the supervisor does about it when. Times are of the monotonic clock.

    Attributes:
        submission: The name of its entry in the ledger.
        tracking_uri: Its store.
        seen: What is known of its container.
        experiment_id: Its experiment.
        has_died: The last event said that its program ended.
        due: When the next decision is taken.
        progress_due: When its output and metrics so far are logged.
        progress_pause: Seconds until the time after that.
        busy: A finisher has it.
        tries: How often its end was tried.
        incomplete: How often of these only artifacts could not be written.
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
        """Empty if not known."""
        return self.seen.run_id

    @property
    def container(self) -> RunContainer | None:
        """As it was last."""
        return self.seen.container

    @property
    def insists(self) -> bool:
        """True while the artifact store must take everything before the container goes."""
        return self.incomplete < _MOST_INCOMPLETE

    @property
    def next_due(self) -> float:
        """When something is to be done, unless a finisher has it."""
        return math.inf if self.busy else min(self.due, self.progress_due)

    def take(self, event: Event) -> None:
        """After an event."""
        self.seen = replace(self.seen, signs=with_event(self.seen.signs, event))
        if event.action in {"start", "die"}:
            self.has_died = event.action == "die"

    def engine_was_away(self) -> None:
        """After the engine is back; it may have forgotten that it was to stop the program."""
        signs = after_loss(self.seen.signs, has_died=self.has_died)
        self.seen = replace(self.seen, signs=signs, is_stopping=False)

    def runs(self, container: RunContainer, passed: float | None) -> None:
        """After its program was seen to run.

        Args:
            container: As it is now.
            passed: Seconds since its program started; None to take them from the clocks, which
                may jump, unless its deadline is known.
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
        """After its program was seen not to run.

        Args:
            container: As it is now; None if it is missing.
        """
        self.due = now = time.monotonic()
        self.seen = self.seen.looked_at(container, self.seen.signs, now)
        self.progress_due = math.inf

    def try_again(self, *, incomplete: bool) -> float:
        """After its end could not be written; gives the seconds until the next try.

        Args:
            incomplete: Only artifacts could not be written.
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
        """After its output and metrics so far were logged."""
        self.progress_pause = min(_LONGEST_PROGRESS_SECONDS, 2 * self.progress_pause)
        self.progress_due = time.monotonic() + self.progress_pause
