"""How the program of a run reaches its tracking server and its artifact store.

A store on this machine's disk, and each store of a fetched project, is served by the tracking proxy; the
program gets the address and a token. A server is reached directly by a project of the user.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from container_backend.container.logins import STORES, ArtifactStore, login_files
from container_backend.errors import InvalidConfig, TrackingUnreachable
from container_backend.labels_and_tags import ENV_SYSTEM_METRICS
from container_backend.masking import without_credentials
from container_backend.privileges import Right

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import EngineFacts
    from container_backend.privileges import Permissions

_LOOPBACK: Final = re.compile(r"localhost|127(\.\d+){3}|::1|0\.0\.0\.0", re.IGNORECASE)
# The host's address in containers of Docker Desktop. MLflow's check of the Host header accepts this
# address and refuses its name, host.docker.internal (mlflow.server.security, since 3.5).
_DESKTOP_GATEWAY: Final = "192.168.65.254"
_NO_LINKS: Final = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
LOCALHOST: Final = "127.0.0.1"
_PROXIED: Final = "Leave 'tracking' out: the tracking proxy serves the project's own run."
# Values of the setting `tracking`.
PROXY: Final = "proxy"
DIRECT: Final = "direct"
TRACKING_TOKEN: Final = "MLFLOW_TRACKING_TOKEN"  # noqa: S105 the name of a variable
# Variables of MLflow's client that are passed to the program if they are set.
# https://mlflow.org/docs/latest/api_reference/python_api/mlflow.environment_variables.html
_LOGINS: Final = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    TRACKING_TOKEN,
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_WORKSPACE",
)
_SETTINGS: Final = (
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    ENV_SYSTEM_METRICS,
)
_DATABRICKS: Final = ("DATABRICKS_HOST", "DATABRICKS_TOKEN")
# They name a file, which is copied to the same path.
_SERVER: Final = ArtifactStore(
    files=("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH")
)
_STORES: Final = {**STORES, "http": _SERVER, "https": _SERVER}
ACCESS_VARIABLES: Final = frozenset(
    name
    for names in (
        *(_LOGINS, _SETTINGS, _DATABRICKS),
        *(store.variables for store in _STORES.values()),
        *(store.files for store in _STORES.values()),
    )
    for name in names
)


@dataclass(frozen=True)
class TrackingAccess:
    """The settings that let a program reach the stores.

    Attributes:
        uri: The tracking URI in the container.
        environment: Variables for MLflow's client; may contain credentials.
        files: Logins and certificates of this machine, which their variables name.
        host_network: Only this machine's own network reaches the server.
        is_served: The tracking proxy is in between; ``environment`` has a token of the proxy.
        steps: The address of the proxy, and the token, for steps alone; empty if the store is served.
        forwarded_port: The port on the loopback address of the container whose connections go to the
            proxy through the engine; 0 if the container reaches the proxy itself.
    """

    uri: str
    environment: Mapping[str, str] = field(repr=False)
    files: tuple[Path, ...] = ()
    host_network: bool = False
    is_served: bool = False
    forwarded_port: int = 0
    steps: tuple[str, str] = field(default=("", ""), repr=False)

    @property
    def asked_for_steps(self) -> tuple[str, str]:
        """The address and the token by which a program asks for its steps."""
        return (self.uri, self.environment[TRACKING_TOKEN]) if self.is_served else self.steps

    @property
    def logins(self) -> set[str]:
        """The variables with which processes of the user reach the stores, too."""
        return {*self.environment} - ({TRACKING_TOKEN} if self.is_served else set())


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


def is_served(
    tracking_uri: str, way: str | None, permissions: Permissions, facts: EngineFacts
) -> bool:
    """True if the program reaches its store by the tracking proxy.

    Args:
        tracking_uri: Absolute.
        way: What the user asked for, ``proxy`` or ``direct``; None for the default.

    Raises:
        InvalidConfig: A store on disk is served, or not reached at all.
        InvalidProject: The project may not reach its store directly.
        TrackingUnreachable: No container can reach the store.
    """
    where = f"The store '{without_credentials(tracking_uri)}'"
    is_here, loopback = local_path(tracking_uri) is not None, _is_loopback(tracking_uri)
    if tracking_uri.startswith("sqlite:") and not is_here:
        raise TrackingUnreachable(
            f"{where} lives in this process only; a container cannot reach it.",
            remedy="Set MLFLOW_TRACKING_URI to a file (sqlite:////path/mlflow.db) or a server.",
        )
    if way == PROXY:
        return True
    if way is None and not tracking_uri.startswith("databricks"):
        is_far = loopback and not facts.is_local
        return is_here or is_far or not permissions.allow(Right.STORE)
    if is_here:
        raise InvalidConfig(
            f"{where} is on this machine's disk, and no container gets that.",
            remedy="Leave 'tracking' out: the tracking proxy serves the store.",
        )
    for right in (Right.STORE, *([Right.LOOPBACK] if loopback else [])):
        if not permissions.allow(right):
            raise permissions.refusal(right, where, f"would {right.value}", instead=_PROXIED)
    if loopback and not facts.is_local:
        raise TrackingUnreachable(
            f"{where} listens on this machine only, and the engine is on another machine.",
            remedy="Leave 'tracking' out: the tracking proxy serves the store.",
        )
    return False


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return address.startswith("http") and _LOOPBACK.fullmatch(host) is not None


def served_access(
    host: str | None,
    port: int,
    token: str,
    artifact_location: str | None,
    environ: Mapping[str, str] = os.environ,
) -> TrackingAccess:
    """The access to a store by the tracking proxy.

    Args:
        host: Where the container reaches the proxy; None if its connections are forwarded.
        port: Of the proxy.
        token: Of the run.
        artifact_location: Artifacts that the proxy does not serve: the program gets the logins for
            them. None if the proxy serves all.
    """
    kept = {name: environ[name] for name in _SETTINGS if environ.get(name)}
    logins, files = _artifact_logins(artifact_location or "", environ)
    # MLflow would print a link to a page that the proxy does not have.
    environment = {_NO_LINKS: "true", **kept, **logins, TRACKING_TOKEN: token}
    return TrackingAccess(
        f"http://{host or LOCALHOST}:{port}",
        environment,
        files,
        is_served=True,
        forwarded_port=0 if host else port,
    )


def direct_access(
    tracking_uri: str,
    artifact_location: str | None,
    facts: EngineFacts,
    environ: Mapping[str, str] = os.environ,
) -> TrackingAccess:
    """The access to a server without the proxy.

    Args:
        tracking_uri: Absolute (see :func:`absolute_uri`).
        artifact_location: Of the experiment; None if unknown.
    """
    environment, files = _client_of(tracking_uri, artifact_location or "", environ)
    loopback = _is_loopback(tracking_uri)
    uri = _desktop_address(tracking_uri) if loopback and facts.is_desktop else tracking_uri
    return TrackingAccess(
        uri=uri,
        environment=environment,
        files=files,
        host_network=loopback and not facts.is_desktop,
    )


def around_http_proxies(environment: Mapping[str, str], uri: str) -> dict[str, str]:
    """The variables of a program, which asks the tracking proxy without an HTTP proxy in between."""
    if not {name.lower() for name in environment} & {"http_proxy", "all_proxy"}:
        return dict(environment)
    host = urlsplit(uri).hostname or ""
    added = {
        name: ",".join(filter(None, [environment.get(name, ""), host]))
        for name in ("NO_PROXY", "no_proxy")
    }
    return {**environment, **added}


def _client_of(
    tracking_uri: str, artifact_location: str, environ: Mapping[str, str]
) -> tuple[dict[str, str], tuple[Path, ...]]:
    """The variables for the client of these stores, and the files that these name."""
    names = [*_LOGINS, *_SETTINGS]
    if any(address.startswith("databricks") for address in (tracking_uri, artifact_location)):
        names += _DATABRICKS
    variables = {name: environ[name] for name in names if environ.get(name)}
    certificates, files = login_files(
        _STORES.get(urlsplit(tracking_uri).scheme, ArtifactStore()), environ
    )
    logins, more = _artifact_logins(artifact_location, environ)
    return variables | certificates | logins, tuple(dict.fromkeys([*files, *more]))


def _artifact_logins(
    artifact_location: str, environ: Mapping[str, str]
) -> tuple[dict[str, str], tuple[Path, ...]]:
    """The variables for the client of an artifact store, and the files that these name."""
    store = _STORES.get(urlsplit(artifact_location).scheme, ArtifactStore())
    named, files = login_files(store, environ)
    names = (*store.variables, *store.settings)
    return {name: environ[name] for name in names if environ.get(name)} | named, files


def local_path(uri: str) -> Path | None:
    """The folder or database file of a store on this machine's disk, or None."""
    if uri.startswith("sqlite:"):
        path = uri.removeprefix("sqlite:///").partition("?")[0]
        return Path(unquote(path)) if path.startswith("/") else None
    if uri.startswith("file:"):
        return Path(unquote(urlsplit(uri).path))
    return Path(uri) if uri.startswith("/") else None


def _desktop_address(uri: str) -> str:
    parts = urlsplit(uri)
    port = f":{parts.port}" if parts.port else ""
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{_DESKTOP_GATEWAY}{port}"))
