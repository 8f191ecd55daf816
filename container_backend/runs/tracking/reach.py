"""Whether containers reach this machine at an address, which a firewall may forbid.

Found out by a container that connects, before the first program has to. The answer is kept; a program that
comes by that way renews it.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Final

from container_backend.errors import EngineError
from container_backend.labels_and_tags import NO_LABELS
from container_backend.runs.tracking.grants import Reached, way_of

if TYPE_CHECKING:
    from container_backend.engine import Engine

_logger = logging.getLogger(__package__)
_CONNECT_SECONDS: Final = 3
_WAIT_SECONDS: Final = 30.0
_NOT_REACHED: Final = 9
# -I -S: no program of a package runs.
_COMMAND: Final = ("python3", "-I", "-S", "-c")
_PROGRAM: Final = f"""
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), {_CONNECT_SECONDS}).close()
except OSError:
    sys.exit({_NOT_REACHED})
"""
_NOBODY: Final = "65534:65534"
_MEMORY_BYTES: Final = 256 * 1024**2


def way_to(
    engine: Engine, image: str, network: str | None, host: str, port: int, *, is_kept: bool
) -> str | None:
    """The way of containers to an address of this machine; None if a firewall forbids it.

    Args:
        image: That of the run; without a Python interpreter in it, nothing is found out.
        network: Of the container; None for the default.
        port: Where this machine listens.
        is_kept: Keep the answer: the image is not of a person who may want it to be wrong.
    """
    way = way_of(engine.facts.id or engine.host.url, host)
    known = Reached(way).known()
    if known is None:
        known = _try(engine, image, network, host, port)
        if known is None:
            return way
        if is_kept:
            Reached(way).note(answer=known)
    return way if known else None


def _try(engine: Engine, image: str, network: str | None, host: str, port: int) -> bool | None:
    containers, name = engine.containers, f"container-backend-way-{uuid.uuid4().hex[:12]}"
    try:
        containers.create(
            image,
            name=name,
            user=_NOBODY,
            entrypoint=list(_COMMAND),
            command=[_PROGRAM, host, str(port)],
            labels=NO_LABELS,
            host_config={
                "network_mode": network,
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges"],
                "mem_limit": _MEMORY_BYTES,
                "pids_limit": 16,
                "read_only": True,
                "log_config": {"Type": "none"},
            },
        )
        containers.start(name)
        code = containers.wait(name, _WAIT_SECONDS)
    except EngineError as error:
        _logger.debug("It is not known whether containers reach %s: %s", host, error)
        return None
    finally:
        containers.give_up(name)
    if code == _NOT_REACHED:
        _logger.info(
            "=== Containers do not reach this machine at %s (a firewall?): the program reaches its store "
            "through the engine ===",
            host,
        )
    return {0: True, _NOT_REACHED: False}.get(code)
