"""Messages from other threads to the main thread of the supervisor."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from container_backend.engine import Engine, Event
    from container_backend.runs.supervise.finisher import Job


class Opened(NamedTuple):
    """The stream of events is open; see :class:`container_backend.engine.events.Listener`."""

    engine: Engine
    missed: Sequence[Event]
    was_away: bool


class Lost(NamedTuple):
    """The engine does not answer."""

    error: BaseException


class Answer(NamedTuple):
    """The answer of a finisher; ``state`` is one of those in :mod:`.finisher`."""

    job: Job
    state: str
    said: str


class Inbox:
    """A queue; the ``Listener`` of the engine's events."""

    def __init__(self) -> None:
        self._messages: queue.Queue[Event | Opened | Lost | Answer] = queue.Queue()

    def opened(self, engine: Engine, missed: Sequence[Event], *, was_away: bool) -> None:
        self._messages.put(Opened(engine, missed, was_away))

    def happened(self, event: Event) -> None:
        self._messages.put(event)

    def lost(self, error: BaseException) -> None:
        self._messages.put(Lost(error))

    def answered(self, job: Job, state: str, said: str) -> None:
        self._messages.put(Answer(job, state, said))

    def take(self, seconds: float) -> Iterator[Event | Opened | Lost | Answer]:
        """All messages, after a wait for the first of at most these seconds."""
        try:
            yield self._messages.get(timeout=seconds)
            while True:
                yield self._messages.get_nowait()
        except queue.Empty:
            return
