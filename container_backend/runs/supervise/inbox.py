"""What other threads tell the supervisor, which takes it in its own."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from container_backend.engine import Engine, Event
    from container_backend.runs.supervise.finisher import Job


class Opened(NamedTuple):
    """The engine's events are read; see :meth:`container_backend.engine.events.Listener.opened`."""

    engine: Engine
    missed: Sequence[Event]
    was_away: bool


class Lost(NamedTuple):
    """The engine does not answer."""

    error: BaseException


class Answer(NamedTuple):
    """A finisher's, to a job; ``state`` is one of the answers in its module."""

    job: Job
    state: str
    said: str


class Inbox:
    """A queue of messages; the listener of the engine's events and of the finishers."""

    def __init__(self) -> None:
        """Nothing is told yet."""
        self._messages: queue.Queue[Event | Opened | Lost | Answer] = queue.Queue()

    def opened(self, engine: Engine, missed: Sequence[Event], *, was_away: bool) -> None:
        """See :class:`container_backend.engine.events.Listener`."""
        self._messages.put(Opened(engine, missed, was_away))

    def happened(self, event: Event) -> None:
        """See :class:`container_backend.engine.events.Listener`."""
        self._messages.put(event)

    def lost(self, error: BaseException) -> None:
        """See :class:`container_backend.engine.events.Listener`."""
        self._messages.put(Lost(error))

    def answered(self, job: Job, state: str, said: str) -> None:
        """Take the answer of a finisher."""
        self._messages.put(Answer(job, state, said))

    def take(self, seconds: float) -> Iterator[Event | Opened | Lost | Answer]:
        """All messages, after a wait for the first one of at most so many seconds."""
        try:
            yield self._messages.get(timeout=seconds)
            while True:
                yield self._messages.get_nowait()
        except queue.Empty:
            return
