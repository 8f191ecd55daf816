"""A thread that reads an engine's events and reconnects after a loss."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from container_backend.engine.api import Silent
from container_backend.engine.connection import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.engine.connection import Engine
    from container_backend.engine.events import Event, EventStream
    from container_backend.engine.host import EngineHost

_SHORTEST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
# An engine that shuts down stops its containers up to this long before it closes its connections.
SHUTDOWN_SECONDS: Final = 3.0


class Listener(Protocol):
    """Receives an engine's events, in the thread that reads them."""

    def opened(self, engine: Engine, missed: Sequence[Event], *, was_away: bool) -> None:
        """The stream is open.

        Args:
            engine: The engine that sends the events.
            missed: Events since the last stream ended, as far as the engine remembers them.
            was_away: The engine was away since then.
        """

    def happened(self, event: Event) -> None:
        """An event arrived."""

    def lost(self, error: BaseException) -> None:
        """The engine went away, or does not answer yet."""


class EventReader:
    """Reads an engine's events in a thread, and reconnects after the engine was away."""

    def __init__(self, host: EngineHost, label: str, listener: Listener) -> None:
        """Read nothing yet.

        Args:
            label: ``name`` or ``name=value`` of the containers.
        """
        self._host = host
        self._label = label
        self._listener = listener
        self._position: str | None = None
        self._thread = threading.Thread(target=self._read, name="engine-events", daemon=True)

    def start(self) -> None:
        """Begin to read, until the process ends."""
        self._thread.start()

    def _read(self) -> None:
        engine: Engine | None = None
        was_away = False
        pause = _SHORTEST_PAUSE_SECONDS
        while True:
            try:
                engine = engine or connect(self._host)
                missed, self._position = engine.missed_events(self._label, self._position)
                stream = engine.events(self._label, self._position)
                self._listener.opened(engine, missed, was_away=was_away)
                pause = _SHORTEST_PAUSE_SECONDS
                self._pass_on(stream)
                was_away = True
            except Silent:
                was_away = False
                continue
            except Exception as error:  # noqa: BLE001 the thread must survive every error
                was_away = True
                self._listener.lost(error)
            else:
                self._listener.lost(EOFError("the engine ended its events"))
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _pass_on(self, stream: EventStream) -> None:
        try:
            for event in stream:
                self._listener.happened(event)
        finally:
            self._position = stream.position
            stream.close()
