"""Taking turns and comparing medians."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Ratio:
    """What ours takes, as a part of what a peer takes.

    Attributes:
        what: What was measured.
        ours: Median of ours.
        peer: Median of the peer's.
        limit: The ratio that must not be exceeded; or be reached, for what is better when larger.
        unit: Of both.
        larger_is_better: As it is with rates.
    """

    what: str
    ours: float
    peer: float
    limit: float
    unit: str = "s"
    larger_is_better: bool = False

    def __str__(self) -> str:
        """One line of the report."""
        ratio = self.ours / self.peer
        return (
            f"{self.what:<62} {self.ours:7.2f} {self.unit} / {self.peer:7.2f} {self.unit}"
            f" = {ratio:5.2f}  {self._verdict(ratio)}"
        )

    def _verdict(self, ratio: float) -> str:
        if self.larger_is_better:
            return f"(at least {self.limit:.2f})  {'ok' if ratio >= self.limit else 'MISSED'}"
        return _verdict(ratio, self.limit, f"{self.limit:.2f}")


@dataclass(frozen=True)
class Figure:
    """A figure without a peer to compare with.

    Attributes:
        what: What was measured.
        value: The median.
        limit: What must not be exceeded.
        unit: Of both.
    """

    what: str
    value: float
    limit: float
    unit: str

    def __str__(self) -> str:
        """One line of the report."""
        verdict = _verdict(self.value, self.limit, f"{self.limit:.0f} {self.unit}")
        return f"{self.what:<62} {self.value:7.1f} {self.unit}{'':<20}{verdict}"


def _verdict(value: float, limit: float, said: str) -> str:
    return f"(at most {said})  {'ok' if value <= limit else 'MISSED'}"


def medians(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Let all take turns, so that the machine's moods hit all alike; medians in seconds.

    Each begins with a disk that has nothing left to write of those before. A contender that gives a
    number has measured itself.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            os.sync()
            started = time.perf_counter()
            answer = run()
            elapsed = time.perf_counter() - started
            times[name].append(answer if isinstance(answer, float) else elapsed)
    return {name: statistics.median(taken) for name, taken in times.items()}
