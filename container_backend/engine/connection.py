"""Connects to an engine."""

from __future__ import annotations

import platform
import threading
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from container_backend.engine.api import Connection, asking, reason_of
from container_backend.engine.clock import parse_time
from container_backend.engine.container_verbs import Containers, Networks, Volumes
from container_backend.engine.events import Event, EventStream
from container_backend.engine.facts import EngineFacts, facts_of, require_api
from container_backend.engine.host import find_host
from container_backend.engine.image_verbs import Images
from container_backend.engine.sdk import DockerException
from container_backend.errors import EngineUnavailable

if TYPE_CHECKING:
    from container_backend.engine.host import EngineHost

# How long the facts of an engine stay valid.
_KNOWN_SECONDS: Final = 10.0
_KEPT_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Engine:
    """An engine that has answered."""

    host: EngineHost
    facts: EngineFacts
    containers: Containers
    images: Images
    networks: Networks
    volumes: Volumes
    connection: Connection = field(repr=False)

    @asking()
    def clock(self) -> float | None:
        """Seconds since 1970 by the engine's clock, which may differ from this machine's."""
        return parse_time(str(self.connection.questions.info().get("SystemTime", "")))

    def now(self) -> float:
        """As :meth:`clock`; by this machine's clock if the engine does not tell."""
        return self.clock() or time.time()

    def events(self, label: str, since: str | None = None, until: str | None = None) -> EventStream:
        """The events of containers.

        Args:
            label: ``name`` or ``name=value`` of the containers.
            since: The ``position`` of an earlier stream; begin with the events after it.
            until: Seconds since 1970 when the stream ends; None for never.
        """
        return EventStream(self.connection, label, since, until)

    def missed_events(self, label: str, since: str | None) -> tuple[list[Event], str]:
        """Past events of containers; an engine forgets its events when it stops.

        Args:
            label: ``name`` or ``name=value`` of the containers.
            since: The ``position`` of an earlier stream; None for no events.

        Returns:
            The events, and the position after them.
        """
        until = f"{self.now():.6f}"
        if since is None:
            return [], until
        with closing(self.events(label, since, until)) as stream:
            return list(stream), until

    def close(self) -> None:
        self.connection.close()


@dataclass(frozen=True)
class _Known:
    """Facts of an engine, and the monotonic time of its answer."""

    greeting: tuple[str, ...]
    at: float
    facts: EngineFacts


# By the address of the engine. The lock lets one thread ask and the others use its answer.
_known: dict[str, _Known] = {}
_asking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def connect(host: EngineHost | None = None) -> Engine:
    """Connect to an engine, by default to that of the docker command.

    Raises:
        EngineUnavailable: The engine does not answer, refuses, or is too old for BuildKit.
    """
    host = host or find_host()
    try:
        connection = Connection(host)
        facts = _facts_of(connection)
    except (DockerException, OSError) as error:
        raise EngineUnavailable(
            f"No Docker engine answers at {host.url}: {reason_of(error)}",
            remedy=_advice(host, error),
        ) from error
    require_api(host, facts)
    connection.speak(facts.api_version)
    return Engine(
        host,
        facts,
        Containers(connection),
        Images(connection),
        Networks(connection),
        Volumes(connection),
        connection,
    )


def keep_facts(host: EngineHost) -> None:
    """Let the facts of an engine that this process has, from ten minutes ago or less, be valid again."""
    known = _known.get(host.url)
    if known is not None and time.monotonic() - known.at < _KEPT_SECONDS:
        _known[host.url] = replace(known, at=time.monotonic())


def _facts_of(connection: Connection) -> EngineFacts:
    """The facts of an engine; cached, because an engine starts three programs to answer."""
    host, greeting = connection.host, connection.greeting()
    with _asking[host.url]:
        now = time.monotonic()
        known = _known.get(host.url)
        if known is None or known.greeting != greeting or now - known.at > _KNOWN_SECONDS:
            version = connection.questions.version(api_version=False)
            connection.speak(str(version["ApiVersion"]))
            facts = facts_of(host, version, connection.questions.info())
            known = _known[host.url] = _Known(greeting, now, facts)
        return known.facts


def _advice(host: EngineHost, error: BaseException) -> str:
    reason = reason_of(error).lower()
    if host.url.startswith("ssh://") and "paramiko" in str(error):
        return "Install the libraries for ssh: pip install 'mlflow-container-backend[ssh]'"
    if host.is_socket and "permission denied" in reason:
        return (
            "Your user may not use the socket. Add the user to the group and log in again:\n"
            "    sudo usermod -aG docker $USER"
        )
    if not host.is_socket:
        return "Check DOCKER_HOST (or the current `docker context`) and that the host is up."
    if platform.system() == "Linux":
        return (
            "Start the engine (`sudo systemctl start docker`) or install one:\n"
            "    https://docs.docker.com/engine/install/"
        )
    return "Start Docker Desktop (or another engine), or set DOCKER_HOST."
