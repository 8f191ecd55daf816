"""An engine's events: the stream, and a thread that reads it over losses of the connection."""

from __future__ import annotations

import codecs
import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from container_backend.engine.api import SILENCE
from container_backend.engine.clock import clock_of
from container_backend.engine.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from container_backend.engine.connection import Engine, EngineHost

ACTIONS: Final = ("start", "die", "kill", "oom", "destroy", "rename")
# A connection that says nothing for so long may be dead (a laptop that slept): it is made anew.
_SILENCE_SECONDS: Final = 120
CONNECT_SECONDS: Final = 10
_SHORTEST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
# An engine that is shut down ends so long after its containers that somebody else may see it.
SHUTDOWN_SECONDS: Final = 3.0


@dataclass(frozen=True)
class Event:
    """Something that happened to a container.

    Attributes:
        action: One of ``ACTIONS``.
        container_id: Whose.
        attributes: The container's labels and name, ``exitCode``, ``signal``.
    """

    action: str
    container_id: str
    attributes: dict[str, str]


class EventStream:
    """The engine's events of containers with a label, from the moment when it was opened."""

    def __init__(
        self, engine: Engine, label: str, since: str | None = None, until: str | None = None
    ) -> None:
        """Open it.

        Args:
            engine: Whose events.
            label: ``name`` or ``name=value``.
            since: The ``position`` of a stream before, to have what came after it as well.
            until: Where it ends; by default it does not.

        Raises:
            ENGINE_ERRORS: The engine is not there.
        """
        api: Any = engine.streams.api
        filters = {"type": ["container"], "label": [label], "event": list(ACTIONS)}
        self._response = api._get(
            api._url("/events"),
            params={"filters": json.dumps(filters), "since": since, "until": until},
            stream=True,
            timeout=(CONNECT_SECONDS, _SILENCE_SECONDS),
        )
        api._raise_for_status(self._response)
        self.position = since

    def __iter__(self) -> Iterator[Event]:
        """The events as they come.

        Raises:
            ENGINE_ERRORS: The engine went away, or nothing came for long.
        """
        decoder = json.JSONDecoder()
        characters = codecs.getincrementaldecoder("utf-8")("replace")
        text = ""
        while data := self._response.raw.read1():
            text += characters.decode(data)
            while text := text.lstrip():  # a newline may come by itself
                try:
                    said, end = decoder.raw_decode(text)
                except ValueError:
                    break  # the rest of it is still to come
                text = text[end:]
                actor = said.get("Actor") or {}
                self.position = "{}.{:09d}".format(*divmod(int(said["timeNano"]) + 1, 10**9))
                yield Event(
                    str(said["Action"]), str(actor.get("ID")), dict(actor.get("Attributes") or {})
                )

    def close(self) -> None:
        """No more of it."""
        self._response.close()


def missed_events(engine: Engine, label: str, since: str | None) -> tuple[list[Event], str]:
    """What happened while nobody listened, as far as the engine has kept it: not over its own end.

    Args:
        engine: Whose events.
        label: ``name`` or ``name=value``.
        since: The ``position`` of the stream that ended; None for nothing.

    Returns:
        The events, and the position after them.

    Raises:
        ENGINE_ERRORS: The engine is not there.
    """
    now = clock_of(engine) or time.time()
    until = f"{now:.6f}"
    if since is None:
        return [], until
    stream = EventStream(engine, label, since, until)
    try:
        return list(stream), until
    finally:
        stream.close()


class Listener(Protocol):
    """Who is told of an engine's events, in the thread that reads them."""

    def opened(self, engine: Engine, missed: Sequence[Event], *, was_away: bool) -> None:
        """The stream is open: what happens from now on is told.

        Args:
            engine: Whose it is.
            missed: What the engine still knows of what happened since the stream was open before.
            was_away: Whether the engine itself was not there since.
        """

    def happened(self, event: Event) -> None:
        """Something happened."""

    def lost(self, error: BaseException) -> None:
        """The engine went away, or is not there yet."""


class EventReader:
    """Reads an engine's events in a thread, and comes back when the engine was away."""

    def __init__(self, host: EngineHost, label: str, listener: Listener) -> None:
        """Nothing is read yet.

        Args:
            host: The engine.
            label: ``name`` or ``name=value`` of the containers.
            listener: Is told.
        """
        self._host = host
        self._label = label
        self._listener = listener
        self._position: str | None = None
        self._thread = threading.Thread(target=self._read, name="engine-events", daemon=True)

    def start(self) -> None:
        """Begin to read, for as long as the process lasts."""
        self._thread.start()

    def _read(self) -> None:
        engine: Engine | None = None
        was_away = False
        pause = _SHORTEST_PAUSE_SECONDS
        while True:
            try:
                engine = engine or connect(self._host)
                missed, self._position = missed_events(engine, self._label, self._position)
                stream = EventStream(engine, self._label, self._position)
                self._listener.opened(engine, missed, was_away=was_away)
                pause = _SHORTEST_PAUSE_SECONDS
                self._pass_on(stream)
                was_away = True
            except SILENCE:
                was_away = False
                continue
            except Exception as error:  # noqa: BLE001 whatever it is, this thread must go on
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
