"""Reach the store of a run from this machine, as the client that started the run did."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from container_backend.container import ACCESS_VARIABLES, absolute_uri, local_path
from container_backend.errors import TrackingUnreachable
from container_backend.machine import FileLock, state_folder
from container_backend.masking import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_logger = logging.getLogger(__package__)
_TRACKING_URI: Final = "MLFLOW_TRACKING_URI"
_PORTS: Final = {"http": 80, "https": 443}
_CONNECT_SECONDS: Final = 3
# A restarted server answers within this time.
_PATIENCE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.5
# MLflow's client has 15 connections to a database. A writing thread takes a second connection
# while holding its first, so 15 writing threads block each other until all fail ("QueuePool limit
# of size 5 overflow 10 reached"). A reading thread takes only one.
_DATABASES: Final = frozenset({"sqlite", "postgresql", "mysql", "mssql"})
MOST_WRITERS: Final = 5
_writers: Final = threading.BoundedSemaphore(MOST_WRITERS)


def download_file(uri: str, folder: Path) -> None:
    """Download a file from an address of one of MLflow's artifact stores (``s3://…``).

    Raises:
        Exception: An error of the artifact store.
    """
    from mlflow.artifacts import download_artifacts

    download_artifacts(artifact_uri=uri, dst_path=str(folder))


def store_address(tracking_uri: str, environment: Mapping[str, str]) -> str:
    """The tracking address of a run, with the user and password from its container.

    Args:
        tracking_uri: The address in the container's label, without credentials.
        environment: The variables of the container.
    """
    given = environment.get(_TRACKING_URI, "")
    if without_credentials(given) == tracking_uri:
        return given
    try:
        user = urlsplit(given).netloc.rpartition("@")[0]
        parts = urlsplit(tracking_uri)
    except ValueError:  # not an address; MLflow raises an error
        return tracking_uri
    if not user or not parts.netloc:
        return tracking_uri
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc}"))


def store_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a container with which MLflow's client logs in."""
    return {name: environment[name] for name in ACCESS_VARIABLES if environment.get(name)}


def client_variables(
    address: str, environment: Mapping[str, str], own: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The variables of a process on this machine that writes to the store of a run.

    They are the same for all stores on this machine's disk that are reached alike. Logins go where
    they were set for: the container's to its store, those of this process to its own store.

    Args:
        address: From :func:`store_address`.
        environment: The variables of the container; empty if the container is gone.
        own: The variables of this process. Its logins are for any store if it names none.
    """
    named = own.get(_TRACKING_URI)
    is_own = not named or without_credentials(absolute_uri(named)) == without_credentials(address)
    if not environment and is_own:
        environment = own
    others = {name: value for name, value in own.items() if name not in ACCESS_VARIABLES}
    variables = {**others, **store_variables(environment)}
    variables.pop(_TRACKING_URI, None)
    if local_path(address) is None:
        # MLflow 3.1 finds the artifacts of a server by this variable.
        variables[_TRACKING_URI] = address
    return variables


@contextmanager
def turn_to_write(tracking_uri: str) -> Iterator[None]:
    """Limit the threads of this process that write to a database; a server is not limited."""
    if tracking_uri.partition(":")[0].partition("+")[0] not in _DATABASES:
        yield
        return
    with _writers:
        yield


@contextmanager
def alone_in_store(tracking_uri: str, to: str = "open it") -> Iterator[None]:
    """Lock a store on this machine's disk against other processes of this user.

    MLflow creates a missing store when it opens one, and two processes at once fail.
    """
    if local_path(tracking_uri) is None:
        yield
        return
    name = hashlib.sha256(f"{to} {tracking_uri}".encode()).hexdigest()[:12]
    with FileLock(state_folder() / "stores" / name, "another process that opens the store") as lock:
        lock.own()
        yield


def is_listening(tracking_uri: str) -> bool:
    """False if the server at a store's address refuses connections.

    MLflow's client pauses longer and longer between attempts, even minutes after a server is back.
    A store without a server, or behind a proxy, counts as listening.
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


def await_listener(
    tracking_uri: str, patience: float = _PATIENCE_SECONDS, *, quiet: bool = False
) -> None:
    """Wait until a store listens, for at most ``patience`` seconds; say so unless ``quiet``.

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
        if not said and not quiet:
            _logger.info("=== Waiting for the tracking store at %s ===", address)
            said = True
        time.sleep(_PAUSE_SECONDS)
