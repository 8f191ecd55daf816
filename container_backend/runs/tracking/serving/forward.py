"""Carries connections of a program to the proxy through the engine's own API.

For containers that do not reach this machine: without a network, of an engine elsewhere, behind a
firewall. A second program in the container listens on its loopback address (:mod:`.link`).
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.container import LOCALHOST, inspect_container
from container_backend.engine import EngineHost, connect, frames_in
from container_backend.errors import EngineError, EngineUnavailable, NotThere
from container_backend.machine import write_whole
from container_backend.runs.tracking.serving import link

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.engine import Engine
    from container_backend.runs.tracking.grants import Grants

_logger = logging.getLogger(__package__)
SUFFIX: Final = ".forward"
_PAUSE_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.02
# The interpreter of the image; none other than an image with one has MLflow.
_PYTHON: Final = 'p=$(command -v python3 || command -v python) && exec "$p" -I -S -c "$0" "$@"'
# That of this process, also after the package was replaced.
_TEXT: Final = Path(link.__file__).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Forwarding:
    """A container whose connections are carried, and its engine."""

    host: EngineHost
    container: str


def note(grants: Grants, submission: str, forwarding: Forwarding) -> None:
    """Note what is to be carried, also for a proxy that is started again. Raises OSError."""
    said = {"host": forwarding.host.as_json(), "container": forwarding.container}
    write_whole(grants.beside(submission, SUFFIX), json.dumps(said))


def read(grants: Grants, submission: str) -> Forwarding | None:
    """None if nothing is to be carried."""
    try:
        said = json.loads(grants.beside(submission, SUFFIX).read_text(encoding="utf-8"))
        return Forwarding(EngineHost.from_json(said["host"]), said["container"])
    except EngineUnavailable as error:
        _logger.warning("the program of %s is not reached: %s", submission, error)
        return None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def carry(forwarding: Forwarding, port: int, is_needed: Callable[[], bool]) -> None:
    """Carry connections to the port of the proxy, in a thread, until the run is finished.

    Args:
        port: Of the proxy, and in the container.
        is_needed: False once the run is finished.
    """
    name = f"carry-{forwarding.container[:12]}"
    threading.Thread(
        target=_carry, args=(forwarding, port, is_needed), name=name, daemon=True
    ).start()


def _carry(forwarding: Forwarding, port: int, is_needed: Callable[[], bool]) -> None:
    while is_needed():
        try:
            with closing(connect(forwarding.host)) as engine:
                _while_connected(engine, forwarding.container, port, is_needed)
        except NotThere:
            return
        except (EngineError, OSError, ValueError) as error:
            _logger.info("%s: %s", forwarding.container[:12], error)
        time.sleep(_PAUSE_SECONDS)


def _while_connected(
    engine: Engine, container: str, port: int, is_needed: Callable[[], bool]
) -> None:
    while is_needed():
        found = inspect_container(engine, container)
        if found is None:
            return
        if not found.state.get("Running"):
            time.sleep(_LOOK_SECONDS)  # it is about to be started, or started again
            continue
        command = ["sh", "-c", _PYTHON, _TEXT, str(port)]
        stream = engine.containers.execute(container, command, takes_input=True)
        output = _Output(stream.read)
        try:
            link.Link(output.read, stream.write, lambda: _to_proxy(port)).run()
        finally:
            stream.close()


def _to_proxy(port: int) -> socket.socket:
    connected = socket.create_connection((LOCALHOST, port))
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


class _Output:
    """The standard output of a program in the engine's frames, without these."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._pieces = (data for frames in frames_in(iter(read, b"")) for _, data in frames)
        self._left = b""

    def read(self, count: int) -> bytes:
        """The next bytes, at most so many; none at the end."""
        piece = self._left or next(filter(None, self._pieces), b"")
        taken, self._left = piece[:count], piece[count:]
        return taken
