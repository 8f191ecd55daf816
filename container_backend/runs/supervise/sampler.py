"""Samples the statistics of running containers at a pace that costs little."""

from __future__ import annotations

import logging
import math
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from container_backend.container import (
    NVIDIA_QUERY,
    Sample,
    append_sample,
    gpu_values,
    read_samples,
    values_of,
)
from container_backend.errors import EngineError
from container_backend.labels_and_tags import ENV_SYSTEM_METRICS
from container_backend.runs.output import demultiplex

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from container_backend.container import RunContainer
    from container_backend.engine import Engine

_logger = logging.getLogger(__package__)
# The first readings are early, for short runs. Then the interval is that of MLflow
# (MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL), and longer in long runs, for some hundred readings.
_FIRST_SECONDS: Final = (0.5, 2.0, 5.0)
_INTERVAL_SECONDS: Final = 10.0
_SHARE_OF_AGE: Final = 1 / 360
# Readings per second of all containers together. Several at a time, because engines answer at the
# next full second (20.10: 1.0 s each).
_PER_SECOND: Final = 3.0
_THREADS: Final = 3


@dataclass
class _Sampled:
    container: RunContainer
    file: Path
    began: float
    due: float
    step: int = 0
    before: dict[str, Any] | None = field(default=None, repr=False)

    def next_due(self, now: float) -> float:
        if self.step < len(_FIRST_SECONDS):
            return self.began + _FIRST_SECONDS[self.step]
        return now + max(_INTERVAL_SECONDS, (now - self.began) * _SHARE_OF_AGE)


class Sampler:
    """Appends readings of containers to files, in threads."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._sampled: dict[str, _Sampled] = {}
        self._lock = threading.Condition()
        self._threads: list[threading.Thread] = []

    def begin(self, engine: Engine, container: RunContainer, file: Path) -> None:
        """Begin with a running container, unless its program samples itself.

        Readings are appended to a file; their numbers continue those in the file.
        """
        if container.environment.get(ENV_SYSTEM_METRICS):
            return
        now = time.monotonic()
        with self._lock:
            self._engine = engine
            if container.id in self._sampled:
                return
            sampled = _Sampled(container, file, now, now + _FIRST_SECONDS[0])
            with suppress(FileNotFoundError):
                sampled.step = len(read_samples(file))
            self._sampled[container.id] = sampled
            if len(self._threads) < min(_THREADS, len(self._sampled)):
                thread = threading.Thread(target=self._run, name="sampler", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._lock.notify()

    def end(self, container_id: str) -> None:
        with self._lock:
            self._sampled.pop(container_id, None)

    def _run(self) -> None:
        while True:
            sampled = self._next()
            began = time.monotonic()
            try:
                self._sample(sampled)
            except Exception as error:  # noqa: BLE001 one container fails: the others go on
                _logger.debug("No reading of %s: %s", sampled.container.id, error)
            with self._lock:
                sampled.due = sampled.next_due(time.monotonic())
            time.sleep(max(0.0, began + _THREADS / _PER_SECOND - time.monotonic()))

    def _next(self) -> _Sampled:
        """Wait for the container that is due first; it is not due again before its reading."""
        with self._lock:
            while True:
                first = min(self._sampled.values(), key=lambda each: each.due, default=None)
                pause = _INTERVAL_SECONDS if first is None else first.due - time.monotonic()
                if first is not None and pause <= 0:
                    first.due = math.inf
                    return first
                self._lock.wait(min(pause, _INTERVAL_SECONDS))

    def _sample(self, sampled: _Sampled) -> None:
        engine = self._engine
        assert engine is not None  # noqa: S101 set with the first container
        reading = engine.containers.statistics(sampled.container.id)
        values = values_of(reading, sampled.before, cpus=sampled.container.cpus)
        if values and sampled.container.has_gpu:
            values = {**values, **_gpu(engine, sampled.container.id)}
        sampled.before = reading
        sampled.step += 1
        with self._lock:
            if values and sampled.container.id in self._sampled:
                append_sample(sampled.file, Sample(time.time(), sampled.step - 1, values))


def _gpu(engine: Engine, container_id: str) -> dict[str, float]:
    """Readings of the GPUs by the driver's tool, which the runtime adds to the container."""
    try:
        output = run_in(engine, container_id, NVIDIA_QUERY)
    except EngineError as error:
        _logger.debug("No reading of the GPU: %s", error)
        return {}
    return gpu_values(output.decode("utf-8", "replace"))


def run_in(engine: Engine, container_id: str, command: Sequence[str]) -> bytes:
    """The standard output of a command that is run in a running container."""
    stream = engine.containers.execute(container_id, command)
    try:
        return b"".join(chunk.data for chunk in demultiplex(iter(stream.read, b"")))
    finally:
        stream.close()
