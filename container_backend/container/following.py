"""Follows the containers that this process waits for, with one stream of events for all."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from container_backend import labels_and_tags
from container_backend.container.described import read_container
from container_backend.container.status_and_reason import Signs
from container_backend.engine import CONNECT_SECONDS, Event, EventReader
from container_backend.errors import NotThere
from container_backend.machine import exit_code_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.container.described import RunContainer
    from container_backend.engine import Engine, EngineHost

_logger = logging.getLogger(__package__)


def after_loss(signs: Signs, *, has_died: bool) -> Signs:
    """The signs of a container after the engine was away.

    An engine that shuts down sends signals to its containers: such a signal is no sign.

    Args:
        has_died: The program had ended before the engine went away.
    """
    return replace(signs, engine_lost=True, signal=signs.signal if has_died else 0)


def with_event(signs: Signs, event: Event) -> Signs:
    """The signs of a container after an event."""
    if event.action == "oom":
        return replace(signs, out_of_memory=True)
    if event.action == "kill":
        return replace(signs, signal=exit_code_of(event.attributes.get("signal")) or 0)
    if event.action == "start":
        return Signs()
    if event.action == "die":
        return replace(signs, exit_code=exit_code_of(event.attributes.get("exitCode")))
    return signs


class Followed:
    """A container that a thread waits for.

    Attributes:
        is_lost: The engine is away, or its events are not read yet.
    """

    def __init__(self, container_id: str) -> None:
        self.container_id = container_id
        self.signs = Signs()
        self.is_lost = False
        self._died = threading.Event()
        self._happened = threading.Event()

    def wait(self, seconds: float) -> None:
        """Wait for an event that may be the end of the run."""
        self._happened.wait(seconds)
        self._happened.clear()

    def wait_for_death(self, seconds: float) -> bool:
        """False if the program has not ended after this time."""
        return self._died.wait(seconds)

    def note_alive(self) -> None:
        """Note that the container runs: the loss of the engine did not end the program."""
        if self.signs.engine_lost:
            self.signs = replace(self.signs, engine_lost=False)

    def take(self, event: Event) -> None:
        """Note an event of the container; ignore events of others."""
        if event.container_id != self.container_id:
            return
        self.signs = with_event(self.signs, event)
        if event.action == "start":
            self._died.clear()
        if event.action == "die":
            self._died.set()
        if event.action in {"die", "destroy", "rename"}:
            self._happened.set()

    def lose(self) -> None:
        """Note that the engine went away."""
        self.is_lost = True
        self._happened.set()

    def find(self, missed: Sequence[Event], *, was_away: bool) -> None:
        """Note that the engine's events are read again; see :class:`Listener`."""
        if was_away:
            self.signs = after_loss(self.signs, has_died=self._died.is_set())
        for event in missed:
            self.take(event)
        self.is_lost = False
        self._happened.set()


class Follower:
    """Passes one stream of an engine's events on to all followed containers."""

    def __init__(self, host: EngineHost) -> None:
        self._followed: tuple[Followed, ...] = ()  # replaced, never changed
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._reader: EventReader | None = None
        self._host = host

    def follow(self, container_id: str) -> Followed:
        """Follow a container; no later event is missed."""
        followed = Followed(container_id)
        with self._lock:
            self._followed += (followed,)
            if self._reader is None:
                self._reader = EventReader(self._host, labels_and_tags.LABEL_RUN_ID, self)
                self._reader.start()
        self._open.wait(CONNECT_SECONDS)
        return followed

    def leave(self, followed: Followed) -> None:
        with self._lock:
            self._followed = tuple(each for each in self._followed if each is not followed)

    def opened(self, engine: Engine, missed: Sequence[Event], *, was_away: bool) -> None:
        del engine
        if self._open.is_set():
            for each in self._followed:
                each.find(missed, was_away=was_away)
        self._open.set()

    def happened(self, event: Event) -> None:
        for each in self._followed:
            each.take(event)

    def lost(self, error: BaseException) -> None:
        _logger.debug("The engine's events ended: %s", error)
        for each in self._followed:
            each.lose()


_FOLLOWERS: dict[str, Follower] = {}
_followers_lock = threading.Lock()


def follower_of(host: EngineHost) -> Follower:
    """The only follower of an engine in this process."""
    with _followers_lock:
        return _FOLLOWERS.setdefault(host.url, Follower(host))


def inspect_container(engine: Engine, container: str) -> RunContainer | None:
    """The state of a container, by id or name; None if missing."""
    try:
        return read_container(engine.containers.inspect(container))
    except NotThere:
        return None
