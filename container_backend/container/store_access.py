"""How a container reaches the tracking server and the artifact store of its run.

Same path, same address: a folder has the same path inside as outside, and an address is valid on
both sides, so that what the program writes down means the same to everybody.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from container_backend.errors import TrackingUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from container_backend.engine import Engine

_LOOPBACK: Final = re.compile(r"localhost|127(\.\d+){3}|::1|0\.0\.0\.0", re.IGNORECASE)
# Where Docker Desktop's containers find their host. Its name, host.docker.internal, is refused by
# MLflow's check of the Host header, this address is not (mlflow.server.security, since 3.5).
_DESKTOP_GATEWAY: Final = "192.168.65.254"
# Folders of the image that a folder of the host must not hide.
_TAKEN: Final = ("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin",
                 "/sys", "/usr", "/mlflow")  # fmt: skip
# Passed on where they are set: how MLflow's client logs in and what it is allowed.
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
    "DATABRICKS_HOST",
    "DATABRICKS_TOKEN",
)
# Passed on by the scheme of the artifact store, as MLflow's own docker runs do.
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
# Variables that name a file: the file is shown to the container at its own path, read-only.
_FILE_VARIABLES: Final = (
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "GOOGLE_APPLICATION_CREDENTIALS",
)
ACCESS_VARIABLES: Final = (
    *_CLIENT_VARIABLES,
    *(name for names in _STORE_VARIABLES.values() for name in names),
    *_FILE_VARIABLES,
)


@dataclass(frozen=True)
class Mount:
    """A folder or file of the host, at the same path in the container."""

    path: Path
    read_only: bool = False


@dataclass(frozen=True)
class TrackingAccess:
    """What a container needs in order to reach the stores.

    Attributes:
        uri: The tracking address as the container is told it.
        environment: Variables for MLflow's client. May hold credentials.
        mounts: Stores on this machine's disk.
        host_network: Whether only this machine's own network reaches the server.
    """

    uri: str
    environment: Mapping[str, str] = field(repr=False)
    mounts: tuple[Mount, ...] = ()
    host_network: bool = False


def absolute_uri(uri: str) -> str:
    """A tracking address that means the same from every working directory.

    ``sqlite:///mlflow.db`` and ``mlruns`` are relative to the current directory, for MLflow.
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


def plan_access(
    tracking_uri: str,
    artifact_location: str | None,
    engine: Engine,
    environ: Mapping[str, str] = os.environ,
) -> TrackingAccess:
    """Say how a container on an engine will reach the stores.

    Args:
        tracking_uri: Absolute (see :func:`absolute_uri`).
        artifact_location: The experiment's, where it is known.
        engine: Where the container will be.
        environ: This process's variables.

    Raises:
        TrackingUnreachable: It could not, and why.
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
        # A database's folder, because its journal is a file beside it.
        mounts.append(Mount(store.parent if tracking_uri.startswith("sqlite:") else store))
    artifacts = local_path(artifact_location) if artifact_location else None
    if artifacts is not None:
        # <root>/<experiment id>: a run may read the models of other experiments, too.
        mounts.append(Mount(artifacts.parent if artifacts.name.isdigit() else artifacts))
    named = {name: Path(environ[name]).absolute() for name in _FILE_VARIABLES if environ.get(name)}
    environment = _client_environment(environ, artifact_location)
    environment |= {name: str(file) for name, file in named.items()}
    facts = engine.facts
    if (store or artifacts) and not facts.is_local:
        raise TrackingUnreachable(
            f"The store '{store or artifacts}' is a folder of this machine; the engine "
            f"{engine.host.url} is another one, and its containers cannot see it.",
            remedy="Start a tracking server that both reach (`mlflow server --host 0.0.0.0`), and "
            "set MLFLOW_TRACKING_URI to it.",
        )
    files = named.values() if facts.is_local else ()
    mounts += [Mount(file, read_only=True) for file in files if file.exists()]
    host = urlsplit(tracking_uri).hostname or ""
    loopback = tracking_uri.startswith("http") and _LOOPBACK.fullmatch(host) is not None
    if loopback and not facts.is_local:
        raise TrackingUnreachable(
            f"The tracking server '{tracking_uri}' listens on this machine only; the engine "
            f"{engine.host.url} is another one.",
            remedy="Set MLFLOW_TRACKING_URI to an address that both machines reach.",
        )
    uri = _desktop_address(tracking_uri) if loopback and facts.is_desktop else tracking_uri
    return TrackingAccess(
        uri=uri,
        environment=environment,
        mounts=without_nested(mounts),
        host_network=loopback and not facts.is_desktop,
    )


def local_path(uri: str) -> Path | None:
    """The path of a store on this machine's disk, or None. A database's is its file."""
    if uri.startswith("sqlite:"):
        path = uri.removeprefix("sqlite:///").partition("?")[0]
        return Path(unquote(path)) if path.startswith("/") else None
    if uri.startswith("file:"):
        return Path(unquote(urlsplit(uri).path))
    return Path(uri) if uri.startswith("/") else None


def without_nested(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """Each folder once, and none that a writable one already contains.

    Raises:
        TrackingUnreachable: One would hide a folder of the image.
    """
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
    pure = PurePosixPath(path)
    if any(str(pure) == taken for taken in _TAKEN) or pure.is_relative_to("/mlflow"):
        raise TrackingUnreachable(
            f"The folder '{path}' cannot be shown to a container: it would hide the "
            "container's own.",
            remedy="Move the tracking store into a folder of its own.",
        )


def _client_environment(
    environ: Mapping[str, str], artifact_location: str | None
) -> dict[str, str]:
    scheme = urlsplit(artifact_location or "").scheme
    names = (*_CLIENT_VARIABLES, *_STORE_VARIABLES.get(scheme, ()))
    return {name: environ[name] for name in names if environ.get(name)}


def _desktop_address(uri: str) -> str:
    parts = urlsplit(uri)
    port = f":{parts.port}" if parts.port else ""
    userinfo = parts.netloc.rpartition("@")[0]
    netloc = (f"{userinfo}@" if userinfo else "") + _DESKTOP_GATEWAY + port
    return urlunsplit(parts._replace(netloc=netloc))
