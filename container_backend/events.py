"""One stream of an engine's events, for all containers of ours that somebody in this process follows."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import requests.exceptions
import urllib3.exceptions
from docker.errors import DockerException, NotFound

from container_backend import names
from container_backend.engine import connect
from container_backend.errors import EngineUnavailable
from container_backend.logs import STREAM_ERRORS
from container_backend.run_container import read_container
from container_backend.state import Signs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import Engine, EngineHost
    from container_backend.run_container import RunContainer

_logger = logging.getLogger(__name__)

ACTIONS: Final = ("start", "die", "kill", "oom", "destroy", "rename")
# A connection that says nothing for so long may be dead (a laptop that slept): it is made anew.
_SILENCE_SECONDS: Final = 120
_CONNECT_SECONDS: Final = 10
_SHORTEST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
# What the SDK and what is below it raise when an engine is not there, and when it says nothing.
ENGINE_ERRORS: Final = (DockerException, EngineUnavailable, *STREAM_ERRORS)
SILENCE: Final = (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)


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

    def __init__(self, engine: Engine, label: str, since: str | None = None) -> None:
        """Open it.

        Args:
            engine: Whose events.
            label: ``name`` or ``name=value``.
            since: The ``position`` of a stream before, to have what came after it as well.

        Raises:
            ENGINE_ERRORS: The engine is not there.
        """
        api: Any = engine.streams.api
        filters = {"type": ["container"], "label": [label], "event": list(ACTIONS)}
        self._response = api._get(
            api._url("/events"),
            params={"filters": json.dumps(filters), "since": since},
            stream=True,
            timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS),
        )
        api._raise_for_status(self._response)
        self.position = since

    def __iter__(self) -> Iterator[Event]:
        """The events as they come.

        Raises:
            ENGINE_ERRORS: The engine went away, or nothing came for long.
        """
        decoder = json.JSONDecoder()
        text = ""
        while data := self._response.raw.read1():
            text += data.decode()
            while text:
                try:
                    said, end = decoder.raw_decode(text)
                except ValueError:
                    break  # the rest of it is still to come
                text = text[end:].lstrip()
                actor = said.get("Actor") or {}
                self.position = "{}.{:09d}".format(*divmod(int(said["timeNano"]) + 1, 10**9))
                yield Event(
                    str(said["Action"]), str(actor.get("ID")), dict(actor.get("Attributes") or {})
                )

    def close(self) -> None:
        """No more of it."""
        self._response.close()


def with_event(signs: Signs, event: Event) -> Signs:
    """What is known of a container after an event."""
    if event.action == "oom":
        return replace(signs, out_of_memory=True)
    if event.action == "kill":
        number = event.attributes.get("signal", "")
        return replace(signs, signal=int(number) if number.isdigit() else 0)
    if event.action == "start":
        return Signs()
    return signs


class Followed:
    """A container that somebody waits for."""

    def __init__(self, container_id: str) -> None:
        """Nothing has happened yet."""
        self.container_id = container_id
        self.signs = Signs()
        self.gone = False
        self._happened = threading.Event()

    def wait(self, seconds: float) -> None:
        """Until something happened that may be the end, or the time is over."""
        self._happened.wait(seconds)
        self._happened.clear()

    def take(self, event: Event) -> None:
        """Take note of an event."""
        self.signs = with_event(self.signs, event)
        if event.action == "destroy":
            self.gone = True
        if event.action in {"die", "destroy", "rename"}:
            self._happened.set()

    def look_again(self, *, was_away: bool) -> None:
        """The stream was interrupted; what happened then is not known.

        Args:
            was_away: Whether it was the engine that was not there.
        """
        if was_away:
            self.signs = replace(self.signs, engine_lost=True)
        self._happened.set()


class Follower:
    """Tells those who wait for containers of an engine what happened to them: one stream for all."""

    def __init__(self, host: EngineHost) -> None:
        """Nothing is followed yet."""
        self._host = host
        self._followed: dict[str, list[Followed]] = {}
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, container_id: str) -> Followed:
        """Begin to follow a container. What happens to it from now on is not missed."""
        followed = Followed(container_id)
        with self._lock:
            self._followed.setdefault(container_id, []).append(followed)
            if self._thread is None:
                self._thread = threading.Thread(target=self._read, name="engine-events", daemon=True)
                self._thread.start()
        self._open.wait(_CONNECT_SECONDS)
        return followed

    def leave(self, followed: Followed) -> None:
        """No longer follow it."""
        with self._lock:
            others = self._followed.get(followed.container_id, [])
            if followed in others:
                others.remove(followed)
            if not others:
                self._followed.pop(followed.container_id, None)

    def _read(self) -> None:
        engine: Engine | None = None
        position: str | None = None
        was_away = False
        pause = _SHORTEST_PAUSE_SECONDS
        while True:
            stream: EventStream | None = None
            try:
                engine = engine or connect(self._host)
                stream = EventStream(engine, names.LABEL_RUN_ID, position)
                if self._open.is_set():
                    self._look_again(was_away=was_away)
                self._open.set()
                was_away, pause = True, _SHORTEST_PAUSE_SECONDS
                for event in stream:
                    self._tell(event)
            except SILENCE:
                was_away = False
            except ENGINE_ERRORS as error:
                was_away = True
                _logger.debug("The engine's events ended: %s", error)
            finally:
                if stream is not None:
                    position = stream.position
                    stream.close()
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _tell(self, event: Event) -> None:
        with self._lock:
            followed = list(self._followed.get(event.container_id, ()))
        for each in followed:
            each.take(event)

    def _look_again(self, *, was_away: bool) -> None:
        with self._lock:
            followed = [each for group in self._followed.values() for each in group]
        for each in followed:
            each.look_again(was_away=was_away)


_FOLLOWERS: dict[str, Follower] = {}
_followers_lock = threading.Lock()


def follower_of(host: EngineHost) -> Follower:
    """The one of this process for an engine."""
    with _followers_lock:
        return _FOLLOWERS.setdefault(host.url, Follower(host))


def inspect(engine: Engine, container: str) -> RunContainer | None:
    """A container, by id or name, as it is now; None where there is none.

    Raises:
        ENGINE_ERRORS: The engine is not there.
    """
    try:
        return read_container(engine.client.api.inspect_container(container))
    except NotFound:
        return None
