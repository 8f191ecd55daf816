"""How to reach the store of a run from this machine, as whoever started it did."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from container_backend.container import ACCESS_VARIABLES, local_path
from container_backend.errors import TrackingUnreachable
from container_backend.masking import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlflow.tracking import MlflowClient

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


def download_artifact(client: MlflowClient, run_id: str, path: str, folder: str) -> str:
    """Download an artifact of a run into a folder; gives where it is then.

    By its address: by the run's id, MLflow 3.1 asks the store of the environment instead of the
    client's.

    Raises:
        Exception: Of each artifact store's own kind.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.utils.uri import append_to_uri_path

    address = append_to_uri_path(client.get_run(run_id).info.artifact_uri, path)
    return str(
        download_artifacts(artifact_uri=address, dst_path=folder, tracking_uri=client.tracking_uri)
    )


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


def open_store(tracking_uri: str) -> MlflowClient:
    """A client of a store that is there. MLflow itself would make one that is not.

    Raises:
        TrackingUnreachable: It is a file or a folder, and not on this machine.
    """
    path = local_path(tracking_uri)
    if path is not None and not path.exists():
        raise TrackingUnreachable(
            f"The tracking store '{without_credentials(tracking_uri)}' is not on this machine.",
            remedy="Check MLFLOW_TRACKING_URI and the current directory. Runs that are followed "
            "from several machines need a tracking server.",
        )
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri)


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
    """Whether somebody answers at a store's address, as far as that can be told at once.

    MLflow's client itself waits longer and longer between its tries, and so for minutes after a
    server is back.

    Args:
        tracking_uri: Of the store. What is no server, or behind a proxy, counts as there.
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
    """Wait for somebody to answer at a store's address, for less long than MLflow's client would.

    Args:
        tracking_uri: Of the store.
        patience: Seconds.

    Raises:
        TrackingUnreachable: Nobody does.
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
