"""What a store has: runs, experiments, metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class StoredRun:
    """A run as its store has it.

    Attributes:
        started_at: Seconds since 1970.
        ended_at: Seconds since 1970; None for an active run.
        metrics: Name → last value.
    """

    run_id: str
    name: str
    experiment_id: str
    artifact_uri: str
    status: str
    is_deleted: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredExperiment:
    experiment_id: str
    name: str
    artifact_uri: str
    is_deleted: bool = False


class Metric(NamedTuple):
    """A value of a metric; ``at`` is in milliseconds since 1970."""

    name: str
    value: float
    at: int
    step: int
