"""Lets a container reach the tracking server and the artifact store of its run.

A folder has the same path, and a server the same address, inside and outside the container. So the
paths and addresses that a program stores are valid on both sides.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from container_backend.errors import TrackingUnreachable
from container_backend.masking import without_credentials
from container_backend.privileges import Right

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from container_backend.engine import Engine
    from container_backend.privileges import Permissions

_LOOPBACK: Final = re.compile(r"localhost|127(\.\d+){3}|::1|0\.0\.0\.0", re.IGNORECASE)
# The host's address in containers of Docker Desktop. MLflow's check of the Host header accepts this
# address and refuses its name, host.docker.internal (mlflow.server.security, since 3.5).
_DESKTOP_GATEWAY: Final = "192.168.65.254"
_SERVER: Final = (
    "Set MLFLOW_TRACKING_URI to a tracking server at an address that containers reach "
    "(`mlflow server --host …`)."
)
# Folders of the image that a mount must not hide.
_TAKEN: Final = ("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin",
                 "/sys", "/usr", "/mlflow")  # fmt: skip
# Variables of MLflow's client that are passed to the program if they are set.
# https://mlflow.org/docs/latest/api_reference/python_api/mlflow.environment_variables.html
_CLIENT_VARIABLES: Final = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_WORKSPACE",
    "MLFLOW_ALLOW_FILE_STORE",
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING",
)
_DATABRICKS: Final = ("DATABRICKS_HOST", "DATABRICKS_TOKEN")
# Scheme of the artifact store → variables that are passed too, as in MLflow's docker runs.
_STORE_VARIABLES: Final = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "MLFLOW_S3_ENDPOINT_URL",
        "MLFLOW_S3_IGNORE_TLS",
        "MLFLOW_S3_UPLOAD_EXTRA_ARGS",
    ),
    "wasbs": ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCESS_KEY"),
    "abfss": ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCESS_KEY"),
}
# Scheme of a store → variables that name a file: the file is mounted at the same path, read-only.
_CERTIFICATES: Final = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH")
_FILE_VARIABLES: Final = {
    "http": _CERTIFICATES,
    "https": _CERTIFICATES,
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
}
ACCESS_VARIABLES: Final = frozenset(
    name
    for names in (
        *(_CLIENT_VARIABLES, _DATABRICKS),
        *(*_STORE_VARIABLES.values(), *_FILE_VARIABLES.values()),
    )
    for name in names
)


@dataclass(frozen=True)
class Mount:
    """A folder or file of the host, at the same path in the container."""

    path: Path
    read_only: bool = False


@dataclass(frozen=True)
class TrackingAccess:
    """The settings that let a container reach the stores.

    Attributes:
        uri: The tracking URI in the container.
        environment: Variables for MLflow's client; may contain credentials.
        mounts: Stores and files on this machine's disk.
        host_network: Only this machine's own network reaches the server.
        is_rootless: The engine runs as an ordinary user.
    """

    uri: str
    environment: Mapping[str, str] = field(repr=False)
    mounts: tuple[Mount, ...] = ()
    host_network: bool = False
    is_rootless: bool = False


def absolute_uri(uri: str) -> str:
    """A tracking URI that does not depend on the working directory.

    In MLflow, ``sqlite:///mlflow.db`` and ``mlruns`` are relative to the working directory.
    """
    if uri.startswith("sqlite:///"):
        path, question, query = uri.removeprefix("sqlite:///").partition("?")
        if path and path != ":memory:":
            return f"sqlite:///{Path(path).absolute()}{question}{query}"
        return uri
    if "://" not in uri and not uri.startswith(("file:", "databricks")):
        return Path(uri).absolute().as_uri()
    if uri.startswith("file:") and not uri.startswith("file:/"):
        return Path(unquote(uri.removeprefix("file:"))).absolute().as_uri()
    return uri


def check_access(
    tracking_uri: str, artifact_location: str | None, permissions: Permissions
) -> None:
    """Raise InvalidProject for stores that a project may not reach as this backend lets it.

    Args:
        tracking_uri: Absolute.
        artifact_location: Of the experiment; None if unknown.
    """
    for address in filter(None, (tracking_uri, artifact_location)):
        where = f"The store '{without_credentials(address)}'"
        if local_path(address) is not None and not permissions.allow(Right.STORE):
            raise permissions.refusal(
                Right.STORE,
                where,
                "would get the folder of the store, with all of its runs and whatever else is in it",
                instead=_SERVER,
            )
        if _is_loopback(address) and not permissions.allow(Right.LOOPBACK):
            raise permissions.refusal(
                Right.LOOPBACK,
                where,
                "would get this machine's own network, with every service on it",
                instead=_SERVER,
            )


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return address.startswith("http") and _LOOPBACK.fullmatch(host) is not None


def plan_access(
    tracking_uri: str,
    artifact_location: str | None,
    engine: Engine,
    environ: Mapping[str, str] = os.environ,
) -> TrackingAccess:
    """Plan how a container reaches the stores; raises TrackingUnreachable if it cannot.

    Args:
        tracking_uri: Absolute (see :func:`absolute_uri`).
        artifact_location: Of the experiment; None if unknown.
    """
    mounts: list[Mount] = []
    store = local_path(tracking_uri)
    if tracking_uri.startswith("sqlite:") and store is None:
        raise TrackingUnreachable(
            f"The tracking store '{tracking_uri}' lives in this process only; "
            "a container cannot reach it.",
            remedy="Set MLFLOW_TRACKING_URI to a file (sqlite:////path/mlflow.db) or a server.",
        )
    if store is not None:
        # The folder of a database file, because the journal is another file in it.
        mounts.append(Mount(store.parent if tracking_uri.startswith("sqlite:") else store))
    artifacts = local_path(artifact_location) if artifact_location else None
    if artifacts is not None:
        # <root>/<experiment id>: a run may also read models of other experiments.
        mounts.append(Mount(artifacts.parent if artifacts.name.isdigit() else artifacts))
    environment, named = _client_of(tracking_uri, artifact_location or "", environ)
    facts = engine.facts
    if (store or artifacts) and not facts.is_local:
        raise TrackingUnreachable(
            f"The store '{store or artifacts}' is a folder of this machine; containers of the "
            f"engine {engine.host.url} on another machine cannot reach it.",
            remedy="Start a tracking server that both machines reach "
            "(`mlflow server --host 0.0.0.0`), and set MLFLOW_TRACKING_URI to its address.",
        )
    files = named.values() if facts.is_local else ()
    mounts += [Mount(file, read_only=True) for file in files if file.exists()]
    loopback = _is_loopback(tracking_uri)
    if loopback and not facts.is_local:
        raise TrackingUnreachable(
            f"The tracking server '{tracking_uri}' listens on this machine only; the engine "
            f"{engine.host.url} is on another machine.",
            remedy="Set MLFLOW_TRACKING_URI to an address that both machines reach.",
        )
    uri = _desktop_address(tracking_uri) if loopback and facts.is_desktop else tracking_uri
    return TrackingAccess(
        uri=uri,
        environment=environment,
        mounts=without_nested(mounts),
        host_network=loopback and not facts.is_desktop,
        is_rootless=facts.is_rootless,
    )


def _client_of(
    tracking_uri: str, artifact_location: str, environ: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, Path]]:
    """The variables for the client of these stores, and the files among their values."""
    schemes = [urlsplit(address).scheme for address in (tracking_uri, artifact_location)]
    names = [*_CLIENT_VARIABLES, *_STORE_VARIABLES.get(schemes[1], ())]
    if any(address.startswith("databricks") for address in (tracking_uri, artifact_location)):
        names += _DATABRICKS
    files = {
        name: Path(environ[name]).absolute()
        for scheme in schemes
        for name in _FILE_VARIABLES.get(scheme, ())
        if environ.get(name)
    }
    variables = {name: environ[name] for name in names if environ.get(name)}
    return variables | {name: str(file) for name, file in files.items()}, files


def local_path(uri: str) -> Path | None:
    """The folder or database file of a store on this machine's disk, or None."""
    if uri.startswith("sqlite:"):
        path = uri.removeprefix("sqlite:///").partition("?")[0]
        return Path(unquote(path)) if path.startswith("/") else None
    if uri.startswith("file:"):
        return Path(unquote(urlsplit(uri).path))
    return Path(uri) if uri.startswith("/") else None


def without_nested(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """The mounts without duplicates and without folders inside a writable mount."""
    kept: dict[Path, Mount] = {}
    for mount in sorted(mounts, key=lambda mount: (mount.path, mount.read_only)):
        _refuse_taken(mount.path)
        inside = any(
            mount.path.is_relative_to(other.path) and not other.read_only for other in kept.values()
        )
        if not inside:
            kept.setdefault(mount.path, mount)
    return tuple(kept.values())


def _refuse_taken(path: Path) -> None:
    if str(path) in _TAKEN or path.is_relative_to("/mlflow"):
        raise TrackingUnreachable(
            f"The folder '{path}' cannot be mounted: it would hide the container's own folder.",
            remedy="Move the tracking store into a folder of its own.",
        )


def _desktop_address(uri: str) -> str:
    parts = urlsplit(uri)
    port = f":{parts.port}" if parts.port else ""
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{_DESKTOP_GATEWAY}{port}"))
