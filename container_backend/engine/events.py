"""An engine's events of containers."""

from __future__ import annotations

import codecs
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine.api import asking
from container_backend.engine.sdk import StreamParseError, json_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine.api import Connection

ACTIONS: Final = ("start", "die", "kill", "oom", "destroy", "rename")
# A connection that is silent for this long may be dead (a laptop that slept): it is renewed.
_SILENCE_SECONDS: Final = 120
CONNECT_SECONDS: Final = 10


@dataclass(frozen=True)
class Event:
    """An event of a container.

    Attributes:
        action: One of ``ACTIONS``.
        attributes: The container's labels and name, ``exitCode``, ``signal``. A value may lack
            blanks: the SDK strips the text between reads.
    """

    action: str
    container_id: str
    attributes: dict[str, str]


class EventStream:
    """The engine's events of containers with a label.

    Attributes:
        position: The time after the last event, for the start of another stream.
    """

    def __init__(
        self, connection: Connection, label: str, since: str | None, until: str | None
    ) -> None:
        """Open the stream; see :meth:`Engine.events`."""
        filters = {"type": ["container"], "label": [label], "event": list(ACTIONS)}
        with asking():
            self._response = connection.get_stream(
                "/events",
                query={"filters": json.dumps(filters), "since": since, "until": until},
                timeout=(CONNECT_SECONDS, _SILENCE_SECONDS),
            )
        self.position = since

    def __iter__(self) -> Iterator[Event]:
        """Yield the events as they arrive.

        Raises:
            Silent: The engine was silent for too long.
            EngineUnavailable: The engine went away.
        """
        text = codecs.iterdecode(iter(self._read, b""), "utf-8", "replace")
        messages: Iterator[Any] = json_stream(text)
        with suppress(StreamParseError):  # the stream ended within an event
            for said in messages:
                actor = said.get("Actor") or {}
                self.position = "{}.{:09d}".format(*divmod(int(said["timeNano"]) + 1, 10**9))
                yield Event(
                    str(said["Action"]), str(actor.get("ID")), dict(actor.get("Attributes") or {})
                )

    @asking()
    def _read(self) -> bytes:
        return bytes(self._response.raw.read1())

    def close(self) -> None:
        self._response.close()
