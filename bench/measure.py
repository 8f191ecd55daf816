"""Taking turns, and comparing medians."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Sample:
    """What was measured several times."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the values."""
        return statistics.median(self.values)

    def map(self, change: Callable[[float], float]) -> Sample:
        """Each value in another unit."""
        return Sample(tuple(change(value) for value in self.values))

    def show(self, unit: str, digits: int) -> str:
        """Median, minimum and maximum; a single value alone."""
        shown = f"{self.median:7.{digits}f} {unit}"
        if len(self.values) == 1:
            return shown
        return f"{shown} ({min(self.values):.{digits}f} to {max(self.values):.{digits}f})"


@dataclass(frozen=True)
class Ratio:
    """What ours takes, as a part of what a peer takes.

    Attributes:
        ours: All values, in ``unit``.
        peer: All values of the peer, in ``unit``.
        limit: The highest ratio allowed, or the lowest where ``larger_is_better``.
        larger_is_better: True for rates.
    """

    what: str
    ours: Sample
    peer: Sample
    limit: float
    unit: str = "s"
    larger_is_better: bool = False

    def __str__(self) -> str:
        """One line of the report."""
        ratio = self.ours.median / self.peer.median
        shown = f"{self.ours.show(self.unit, 2)} / {self.peer.show(self.unit, 2)}"
        return f"{self.what:<62} {shown} = {ratio:5.2f}  {self._verdict(ratio)}"

    def _verdict(self, ratio: float) -> str:
        if self.larger_is_better:
            return f"(at least {self.limit:.2f})  {'ok' if ratio >= self.limit else 'MISSED'}"
        return _verdict(ratio, self.limit, f"{self.limit:.2f}")


@dataclass(frozen=True)
class Figure:
    """A value that has no peer; the limit and all values are in ``unit``."""

    what: str
    value: Sample
    limit: float
    unit: str

    def __str__(self) -> str:
        """One line of the report."""
        median = self.value.median
        verdict = _verdict(median, self.limit, f"{self.limit:.0f} {self.unit}")
        return f"{self.what:<62} {self.value.show(self.unit, 1)}  {verdict}"


def _verdict(value: float, limit: float, said: str) -> str:
    return f"(at most {said})  {'ok' if value <= limit else 'MISSED'}"


def one(value: float) -> Sample:
    """What is measured only once."""
    return Sample((value,))


def in_turns(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Sample]:
    """Let all take turns, so that the machine's moods hit all alike; seconds of each round.

    Each begins with a disk that has nothing left to write of those before. A contender that returns a
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
    return {name: Sample(tuple(taken)) for name, taken in times.items()}
