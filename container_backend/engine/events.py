"""An engine's events of containers, as they come."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from container_backend.engine.api import asking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine.api import Connection

ACTIONS: Final = ("start", "die", "kill", "oom", "destroy", "rename")
# A connection that says nothing for so long may be dead (a laptop that slept): it is made anew.
_SILENCE_SECONDS: Final = 120
CONNECT_SECONDS: Final = 10


@dataclass(frozen=True)
class Event:
    """Something that happened to a container.

    Attributes:
        action: One of ``ACTIONS``.
        container_id: Of the container.
        attributes: The container's labels and name, ``exitCode``, ``signal``.
    """

    action: str
    container_id: str
    attributes: dict[str, str]


class EventStream:
    """The engine's events of containers with a label, from the moment when it was opened."""

    def __init__(
        self, connection: Connection, label: str, since: str | None, until: str | None
    ) -> None:
        """Open the stream; the arguments are those of :meth:`Engine.events`.

        Raises:
            EngineError: The engine does not answer, or refuses.
        """
        filters = {"type": ["container"], "label": [label], "event": list(ACTIONS)}
        with asking():
            self._response = connection.get_stream(
                "/events",
                query={"filters": json.dumps(filters), "since": since, "until": until},
                timeout=(CONNECT_SECONDS, _SILENCE_SECONDS),
            )
        self.position = since

    def __iter__(self) -> Iterator[Event]:
        """The events as they come.

        Raises:
            Silent: Nothing came for long.
            EngineUnavailable: The engine went away.
        """
        decoder = json.JSONDecoder()
        characters = codecs.getincrementaldecoder("utf-8")("replace")
        text = ""
        while data := self._read():
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

    @asking()
    def _read(self) -> bytes:
        return bytes(self._response.raw.read1())

    def close(self) -> None:
        """Close the connection."""
        self._response.close()
