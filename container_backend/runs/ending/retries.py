"""Whether and when a container whose run has not gone well is started once more."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, TypeVar

from container_backend import labels_and_tags
from container_backend.container import (
    CAUSE_ENGINE,
    CAUSE_OUT_OF_MEMORY,
    CAUSE_PROGRAM,
    CAUSE_SIGNAL,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.container import Outcome, RunContainer
    from container_backend.errors import ContainerBackendError

_logger = logging.getLogger(__package__)
_LONGEST_PAUSE_SECONDS: Final = 60.0
# What a program does by itself.
_OWN_CAUSES: Final = frozenset({CAUSE_PROGRAM, CAUSE_SIGNAL, CAUSE_OUT_OF_MEMORY})
T = TypeVar("T")


def may_retry(container: RunContainer, outcome: Outcome, attempts: int) -> bool:
    """Whether the container of a run that has ended is to be started again.

    Args:
        container: Of the run.
        outcome: How it ended.
        attempts: How many times it was started.
    """
    if attempts > container.retries:
        return False
    if outcome.cause == CAUSE_ENGINE:
        return True
    asked = container.labels.get(labels_and_tags.LABEL_RETRY_PROGRAM) == "true"
    return asked and outcome.cause in _OWN_CAUSES


def pause_before(attempt: int) -> float:
    """Seconds to wait before the second, third, … attempt: twice as long each time."""
    return min(_LONGEST_PAUSE_SECONDS, 2.0 ** (attempt - 2))


def retried(work: Callable[[], T], retries: int, kind: type[ContainerBackendError]) -> T:
    """Do something, again and again where it fails for a cause that may pass.

    Args:
        work: What to do.
        retries: How many times more.
        kind: What may pass.

    Raises:
        ContainerBackendError: As it came, the last time.
    """
    for attempt in range(2, retries + 2):
        try:
            return work()
        except kind as error:
            pause = pause_before(attempt)
            _logger.warning("=== %s Trying again in %g s ===", error.message, pause)
            time.sleep(pause)
    return work()
