"""When the program of a failed run is started again, and after which pause."""

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
# Causes that lie in the program.
_OWN_CAUSES: Final = frozenset({CAUSE_PROGRAM, CAUSE_SIGNAL, CAUSE_OUT_OF_MEMORY})
T = TypeVar("T")


def may_retry(container: RunContainer, outcome: Outcome, attempts: int) -> bool:
    """True if a retry is left, and the cause may pass or ``retry_program`` is set."""
    if attempts > container.retries:
        return False
    if outcome.cause == CAUSE_ENGINE:
        return True
    asked = container.labels.get(labels_and_tags.LABEL_RETRY_PROGRAM) == "true"
    return asked and outcome.cause in _OWN_CAUSES


def pause_before(attempt: int) -> float:
    """Seconds before the second, third, … attempt: twice as long each time, at most a minute."""
    return min(_LONGEST_PAUSE_SECONDS, 2.0 ** (attempt - 2))


def retried(work: Callable[[], T], retries: int, kind: type[ContainerBackendError]) -> T:
    """Call a function, and up to ``retries`` times again after an error of a kind that may pass."""
    for attempt in range(2, retries + 2):
        try:
            return work()
        except kind as error:
            pause = pause_before(attempt)
            _logger.warning("=== %s Trying again in %g s ===", error.message, pause)
            time.sleep(pause)
    return work()
