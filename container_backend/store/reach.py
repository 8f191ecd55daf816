"""How to reach the store of a run from this machine, as the client that started the run did."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from container_backend.container import ACCESS_VARIABLES, absolute_uri
from container_backend.errors import TrackingUnreachable
from container_backend.masking import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_logger = logging.getLogger(__package__)
_TRACKING_URI: Final = "MLFLOW_TRACKING_URI"
_PORTS: Final = {"http": 80, "https": 443}
_CONNECT_SECONDS: Final = 3
# A server that is just started again is back in so long.
_PATIENCE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.5
# While MLflow's client of a database writes it has two connections, of fifteen: the first is kept
# while it asks for the second. Fifteen threads that do so wait for each other until all of them
# fail ("QueuePool limit of size 5 overflow 10 reached"). Those that only read have one.
_DATABASES: Final = frozenset({"sqlite", "postgresql", "mysql", "mssql"})
_writers: Final = threading.BoundedSemaphore(5)


def default_address() -> str:
    """The absolute address of the store that MLflow uses in this process."""
    import mlflow

    return absolute_uri(mlflow.get_tracking_uri())


def download_file(uri: str, folder: Path) -> None:
    """Download a file by an address that one of MLflow's artifact stores knows (``s3://…``).

    Raises:
        Exception: Of each artifact store's own kind.
    """
    from mlflow.artifacts import download_artifacts

    download_artifacts(artifact_uri=uri, dst_path=str(folder))


def store_address(tracking_uri: str, environment: Mapping[str, str]) -> str:
    """A run's tracking address with the user and password that its container was given.

    Args:
        tracking_uri: As in the container's label, without them.
        environment: The container's.
    """
    if without_credentials(environment.get(_TRACKING_URI, "")) == tracking_uri:
        return environment.get(_TRACKING_URI, "")
    try:
        user = urlsplit(environment.get(_TRACKING_URI, "")).netloc.rpartition("@")[0]
        parts = urlsplit(tracking_uri)
    except ValueError:  # it cannot be an address; MLflow says so
        return tracking_uri
    if not user or not parts.netloc:
        return tracking_uri
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc}"))


def store_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a container with which MLflow's client logs in."""
    return {name: environment[name] for name in ACCESS_VARIABLES if environment.get(name)}


@contextmanager
def turn_to_write(tracking_uri: str) -> Iterator[None]:
    """Inside, only a few threads of this process write to a store that is a database.

    Args:
        tracking_uri: Of the store. A server has a pool of its own.
    """
    if tracking_uri.partition(":")[0].partition("+")[0] not in _DATABASES:
        yield
        return
    with _writers:
        yield


def is_listening(tracking_uri: str) -> bool:
    """False if the server at a store's address refuses connections.

    MLflow's client itself waits longer and longer between its tries, and so for minutes after a
    server is back.

    Args:
        tracking_uri: A store that is no server or is behind a proxy counts as listening.
    """
    parts = urlsplit(tracking_uri)
    port = parts.port or _PORTS.get(parts.scheme)
    if port is None or not parts.hostname:
        return True
    if parts.scheme in getproxies() and not proxy_bypass(parts.hostname):
        return True
    try:
        socket.create_connection((parts.hostname, port), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def await_listener(tracking_uri: str, patience: float = _PATIENCE_SECONDS) -> None:
    """Wait until a store's address is answered at, for less long than MLflow's client would.

    Args:
        tracking_uri: Of the store.
        patience: Seconds.

    Raises:
        TrackingUnreachable: The store does not answer.
    """
    deadline = time.monotonic() + patience
    address = without_credentials(tracking_uri)
    said = False
    while not is_listening(tracking_uri):
        if time.monotonic() >= deadline:
            raise TrackingUnreachable(
                f"The tracking store does not answer at {address}.",
                remedy="Check MLFLOW_TRACKING_URI, and that the server is up.",
            )
        if not said:
            _logger.info("=== Waiting for the tracking store at %s ===", address)
            said = True
        time.sleep(_PAUSE_SECONDS)
