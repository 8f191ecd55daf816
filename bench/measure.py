"""Taking turns and comparing medians."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Ratio:
    """How long ours takes, as a part of a peer's time.

    Attributes:
        what: What was measured.
        ours: Median of ours, in seconds.
        peer: Median of the peer's, in seconds.
        limit: The ratio that must not be exceeded.
    """

    what: str
    ours: float
    peer: float
    limit: float

    def __str__(self) -> str:
        """One line of the report."""
        ratio = self.ours / self.peer
        verdict = "ok" if ratio <= self.limit else "MISSED"
        return (
            f"{self.what:<62} {self.ours:7.2f} s / {self.peer:7.2f} s = {ratio:5.2f}"
            f"  (at most {self.limit:.2f})  {verdict}"
        )


@dataclass(frozen=True)
class Figure:
    """Something that is not compared with anybody.

    Attributes:
        what: What was measured.
        seconds: The median.
        limit: What must not be exceeded, in seconds.
    """

    what: str
    seconds: float
    limit: float

    def __str__(self) -> str:
        """One line of the report."""
        verdict = "ok" if self.seconds <= self.limit else "MISSED"
        return (
            f"{self.what:<62} {self.seconds * 1000:7.1f} ms"
            f"{'':<20}(at most {self.limit * 1000:.0f} ms)  {verdict}"
        )


def medians(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Let all take turns, so that the machine's moods hit all alike; medians in seconds.

    A contender that gives a number has measured itself.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            answer = run()
            elapsed = time.perf_counter() - started
            times[name].append(answer if isinstance(answer, float) else elapsed)
    return {name: statistics.median(taken) for name, taken in times.items()}
