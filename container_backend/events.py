"""One stream of an engine's events, for all containers of ours that somebody in this process follows."""

from __future__ import annotations

import codecs
import json
import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import requests.exceptions
import urllib3.exceptions
from docker.errors import DockerException, NotFound

from container_backend import names
from container_backend.engine import connect
from container_backend.engine_time import clock_of
from container_backend.errors import EngineUnavailable
from container_backend.logs import STREAM_ERRORS
from container_backend.outside import exit_code_of
from container_backend.run_container import read_container
from container_backend.state import Signs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from container_backend.engine import Engine, EngineHost
    from container_backend.run_container import RunContainer

_logger = logging.getLogger(__name__)

ACTIONS: Final = ("start", "die", "kill", "oom", "destroy", "rename")
# A connection that says nothing for so long may be dead (a laptop that slept): it is made anew.
_SILENCE_SECONDS: Final = 120
_CONNECT_SECONDS: Final = 10
_SHORTEST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
# An engine that is shut down ends so long after its containers that somebody else may see it.
SHUTDOWN_SECONDS: Final = 3.0
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


def after_loss(signs: Signs, *, has_died: bool) -> Signs:
    """What is known of a container when the engine was away.

    An engine that is ended in good order ends its containers first, with signals.

    Args:
        signs: What was known before.
        has_died: Whether its program had ended by then.
    """
    return replace(signs, engine_lost=True, signal=signs.signal if has_died else 0)


def with_event(signs: Signs, event: Event) -> Signs:
    """What is known of a container after an event."""
    if event.action == "oom":
        return replace(signs, out_of_memory=True)
    if event.action == "kill":
        number = event.attributes.get("signal", "")
        return replace(signs, signal=exit_code_of(number) or 0)
    if event.action == "start":
        return Signs()
    code = event.attributes.get("exitCode", "")
    if event.action == "die" and code.isdigit():
        return replace(signs, exit_code=int(code))
    return signs


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


class Followed:
    """A container that somebody waits for."""

    def __init__(self, container_id: str) -> None:
        """Nothing has happened yet."""
        self.container_id = container_id
        self.signs = Signs()
        self._died = threading.Event()
        self._happened = threading.Event()
        self._lost = threading.Event()

    def wait(self, seconds: float) -> None:
        """Until something happened that may be the end, or the time is over."""
        self._happened.wait(seconds)
        self._happened.clear()

    def wait_for_death(self, seconds: float) -> None:
        """Until the program has ended, or the time is over."""
        self._died.wait(seconds)

    @property
    def is_lost(self) -> bool:
        """Whether the engine is away, as far as it is known."""
        return self._lost.is_set()

    def wait_for_loss(self, seconds: float) -> bool:
        """Whether the engine goes away in that time."""
        return self._lost.wait(seconds)

    def is_alive(self) -> None:
        """It was seen running: whatever happened to the engine has not ended it."""
        if self.signs.engine_lost:
            self.signs = replace(self.signs, engine_lost=False)

    def take(self, event: Event) -> None:
        """Take note of an event."""
        self.signs = with_event(self.signs, event)
        if event.action == "start":
            self._died.clear()
        if event.action == "die":
            self._died.set()
        if event.action in {"die", "destroy", "rename"}:
            self._happened.set()

    def lose(self) -> None:
        """The engine went away."""
        self._lost.set()
        self._happened.set()

    def find(self, missed: Sequence[Event], *, was_away: bool) -> None:
        """The engine is heard again; see :class:`Listener`."""
        if was_away:
            self.signs = after_loss(self.signs, has_died=self._died.is_set())
        for event in missed:
            if event.container_id == self.container_id:
                self.take(event)
        self._lost.clear()
        self._happened.set()


class Follower:
    """Tells those who wait for containers of an engine what happened to them: one stream for all."""

    def __init__(self, host: EngineHost) -> None:
        """Nothing is followed yet."""
        self._followed: dict[str, list[Followed]] = {}
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._reader: EventReader | None = None
        self._host = host

    def follow(self, container_id: str) -> Followed:
        """Begin to follow a container. What happens to it from now on is not missed."""
        followed = Followed(container_id)
        with self._lock:
            self._followed.setdefault(container_id, []).append(followed)
            if self._reader is None:
                self._reader = EventReader(self._host, names.LABEL_RUN_ID, self)
                self._reader.start()
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

    def opened(self, engine: Engine, missed: Sequence[Event], *, was_away: bool) -> None:
        """See :class:`Listener`."""
        del engine
        if self._open.is_set():
            for each in self._all():
                each.find(missed, was_away=was_away)
        self._open.set()

    def happened(self, event: Event) -> None:
        """See :class:`Listener`."""
        with self._lock:
            followed = list(self._followed.get(event.container_id, ()))
        for each in followed:
            each.take(event)

    def lost(self, error: BaseException) -> None:
        """See :class:`Listener`."""
        _logger.debug("The engine's events ended: %s", error)
        for each in self._all():
            each.lose()

    def _all(self) -> list[Followed]:
        with self._lock:
            return [each for group in self._followed.values() for each in group]


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
