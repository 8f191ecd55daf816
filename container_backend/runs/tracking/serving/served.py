"""The store behind the proxy: asked again while it is locked, full or away."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.store import Answer, Request

_logger = logging.getLogger(__package__)
# MLflow's client waits 120 s for an answer, and then sends the request again.
_PATIENCE_SECONDS: Final = 100.0
_FIRST_PAUSE_SECONDS: Final = 0.2
_MOST_PAUSE_SECONDS: Final = 5.0
_IDLE_PAUSE_SECONDS: Final = 0.05
# After this time the user is told.
_SAID_SECONDS: Final = 5.0
_SILENT: Final = "the store does not answer"
# What passes by itself, or when the user makes room: texts of SQLite, of the system, of SQLAlchemy.
_PASSING: Final = re.compile(
    rb"database is locked|database table is locked|database or disk is full|disk I/O error|"
    rb"unable to open database file|attempt to write a readonly database|No space left on device|"
    rb"QueuePool limit|The tracking server does not answer",
    re.IGNORECASE,
)


class Store(Protocol):
    """What answers requests: MLflow's application over a store on disk, or a server elsewhere."""

    def call(self, request: Request, root: str = "") -> Answer: ...


class Served:
    """A store that is waited for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting = 0
        self._why = ""
        self._begun: dict[object, float] = {}

    def waits_for(self) -> str:
        """What a request has waited for, for longer than people do; empty if none has."""
        begun = min(list(self._begun.values()), default=math.inf)
        return (self._why or _SILENT) if time.monotonic() - begun > _SAID_SECONDS else ""

    def wait_until_idle(self, seconds: float) -> None:
        """Until the store is asked nothing, for at most so many seconds."""
        deadline = time.monotonic() + seconds
        while self._begun and time.monotonic() < deadline:
            time.sleep(_IDLE_PAUSE_SECONDS)

    def call(
        self, request: Request, root: str = "", is_needed: Callable[[], bool] = lambda: True
    ) -> Answer:
        """Answer a request. A failure that passes is waited for, until the client would give up.

        Args:
            is_needed: False once the request must not be tried again.
        """
        request_id = object()
        self._begun[request_id] = time.monotonic()
        try:
            answer = self._store.call(request, root)
            return self._again(answer, request, root, is_needed) if _is_passing(answer) else answer
        finally:
            del self._begun[request_id]

    def _again(
        self, answer: Answer, request: Request, root: str, is_needed: Callable[[], bool]
    ) -> Answer:
        deadline, pause = time.monotonic() + _PATIENCE_SECONDS, _FIRST_PAUSE_SECONDS
        self._begin(answer)
        try:
            while _is_passing(answer) and is_needed() and time.monotonic() + pause < deadline:
                time.sleep(pause)
                pause = min(2 * pause, _MOST_PAUSE_SECONDS)
                answer = self._store.call(request, root)
        finally:
            self._end(answer)
        return answer

    def _begin(self, answer: Answer) -> None:
        with self._lock:
            self._waiting += 1
            if found := _PASSING.search(answer.body):
                self._why = found[0].decode()
            if self._waiting == 1:
                said = answer.body.decode("utf-8", "replace")[:500]
                _logger.warning("the store is waited for: %s", said)

    def _end(self, answer: Answer) -> None:
        with self._lock:
            self._waiting -= 1
            if not self._waiting:
                self._why = ""
            if not self._waiting and not _is_passing(answer):
                _logger.info("the store answers again")


def _is_passing(answer: Answer) -> bool:
    return answer.has_failed and _PASSING.search(answer.body) is not None
