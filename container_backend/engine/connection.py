"""The Docker engine: which one, where it is, what it can do. The one place that connects."""

from __future__ import annotations

import os
import platform
import socket
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import docker
from docker.context import ContextAPI
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig

from container_backend.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_HOST = "unix:///var/run/docker.sock"
# BuildKit answers `POST /build?version=2` since API 1.39, and its session since 1.39 as well.
# https://docs.docker.com/reference/api/engine/version-history/#v139-api-changes
MINIMUM_API_VERSION = (1, 39)
# Streams may be silent for hours, answers to single questions may not: see `Engine`.
REQUEST_TIMEOUT_SECONDS = 120
# Headers of the answer to a ping that tell engines apart, and how long what is known is relied on.
_GREETING = ("Server", "Api-Version", "Builder-Version", "OSType")
_KNOWN_SECONDS = 10.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class EngineHost:
    """The address of an engine, before anything is asked of it.

    Attributes:
        url: ``unix://…``, ``tcp://host:port``, ``ssh://user@host`` or ``npipe://…``.
        tls: Certificates for ``tcp://``, or None for a connection without TLS.
    """

    url: str
    tls: TLSConfig | None = None

    @property
    def is_socket(self) -> bool:
        """Whether the address is a socket file or pipe of this machine."""
        return self.url.startswith(("unix://", "npipe://"))


def find_host(environ: Mapping[str, str] = os.environ) -> EngineHost:
    """The engine that the docker command would use: ``DOCKER_HOST``, then the current context.

    Args:
        environ: Where ``DOCKER_HOST``, ``DOCKER_TLS_VERIFY``, ``DOCKER_CERT_PATH`` and
            ``DOCKER_CONTEXT`` are looked up.

    Raises:
        EngineUnavailable: ``DOCKER_CONTEXT`` or the Docker config names a context that is not
            there, or certificates are missing.
    """
    if url := environ.get("DOCKER_HOST"):
        return EngineHost(_normalise(url), _tls_from_environment(environ))
    name = environ.get("DOCKER_CONTEXT")
    try:
        context = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
    except (DockerException, OSError, ValueError) as error:
        raise EngineUnavailable(
            f"The Docker context cannot be read: {error}",
            remedy="List the contexts with `docker context ls`, or set DOCKER_HOST.",
        ) from error
    if context is None:
        if name:
            raise EngineUnavailable(
                f"DOCKER_CONTEXT names the context '{name}', which does not exist.",
                remedy="List the contexts with `docker context ls`.",
            )
        return EngineHost(DEFAULT_HOST)
    return EngineHost(_normalise(context.Host or DEFAULT_HOST), context.TLSConfig or None)


def _normalise(url: str) -> str:
    """``http+unix://`` and friends, which the SDK uses inside, as everybody writes them."""
    return url.replace("http+unix://", "unix://", 1) if url.startswith("http+unix://") else url


def _tls_from_environment(environ: Mapping[str, str]) -> TLSConfig | None:
    """The TLS settings as the docker command reads them.

    https://docs.docker.com/reference/cli/docker/#environment-variables
    """
    verify = bool(environ.get("DOCKER_TLS_VERIFY"))
    named = environ.get("DOCKER_CERT_PATH")
    if not (named or verify):
        return None
    folder = Path(named) if named else Path.home() / ".docker"
    try:
        return TLSConfig(
            client_cert=(str(folder / "cert.pem"), str(folder / "key.pem")),
            ca_cert=str(folder / "ca.pem"),
            verify=verify,
        )
    except DockerException as error:
        raise EngineUnavailable(
            f"The TLS certificates of the Docker engine in '{folder}' cannot be used: {error}",
            remedy="Correct DOCKER_CERT_PATH, or unset DOCKER_TLS_VERIFY.",
        ) from error


@dataclass(frozen=True)
class Engine:
    """An engine that has answered.

    Attributes:
        host: Where it is.
        client: For questions that are answered at once (a read timeout applies).
        streams: For logs, waits and builds, which may be silent for hours (no read timeout).
        version: The engine's version, for messages.
        platform: ``os/architecture``, e.g. ``linux/amd64``.
        is_local: Whether paths of this machine mean the same to the engine.
        is_desktop: Whether it is Docker Desktop, where ``host`` networking is not this machine's.
        log_driver: What it does with a container's output by default.
    """

    host: EngineHost
    client: docker.DockerClient
    streams: docker.DockerClient
    version: str
    platform: str
    is_local: bool
    is_desktop: bool
    log_driver: str

    def close(self) -> None:
        """Close the connections. The engine itself is not touched."""
        self.client.close()
        self.streams.close()


@dataclass(frozen=True)
class _Known:
    """What an engine said of itself, and when; by the monotonic clock."""

    greeting: tuple[str, ...]
    at: float
    version: Mapping[str, Any]
    info: Mapping[str, Any]


# By the address of the engine; threads that want to know at the same time ask once.
_known: dict[str, _Known] = {}
_asking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def connect(host: EngineHost | None = None) -> Engine:
    """Connect to an engine and make sure that it can do what is needed.

    What it says of itself is asked for once in a while: an engine starts three programs to find
    out the versions of its parts.

    Args:
        host: Which engine; the one that the docker command would use by default.

    Raises:
        EngineUnavailable: It does not answer, refuses, or is too old for BuildKit.
    """
    host = host or find_host()
    try:
        client = _client(host, REQUEST_TIMEOUT_SECONDS)
        streams = _client(host, None)
        known = _ask(host, client)
    except (DockerException, OSError) as error:
        raise EngineUnavailable(
            f"No Docker engine answers at {host.url}: {_reason(error)}",
            remedy=_connection_advice(host, error),
        ) from error
    version, info = known.version, known.info
    require_buildkit(host, version)
    for api in (client.api, streams.api):
        _speak(api, str(version["ApiVersion"]))
    desktop = "Docker Desktop" in str(info.get("OperatingSystem", ""))
    return Engine(
        host=host,
        client=client,
        streams=streams,
        version=str(version.get("Version", "unknown")),
        platform=f"{version.get('Os', 'linux')}/{version.get('Arch', 'amd64')}",
        is_local=desktop or _is_this_machine(host, str(info.get("Name", ""))),
        is_desktop=desktop,
        log_driver=str(info.get("LoggingDriver", "")),
    )


def _ask(host: EngineHost, client: docker.DockerClient) -> _Known:
    """What an engine says of itself; of before, where it is the same and that is not long ago.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemPing
    """
    api: Any = client.api
    response = api._get(api._url("/_ping", versioned_api=False))
    api._raise_for_status(response)
    greeting = tuple(response.headers.get(name, "") for name in _GREETING)
    with _asking[host.url]:
        now = time.monotonic()
        known = _known.get(host.url)
        if known is None or known.greeting != greeting or now - known.at > _KNOWN_SECONDS:
            version = client.version(api_version=False)
            _speak(api, str(version["ApiVersion"]))
            known = _Known(greeting, now, version, client.info())
            _known[host.url] = known
        return known


def require_buildkit(host: EngineHost, version: Mapping[str, Any]) -> None:
    """Refuse an engine that cannot build what is needed.

    Args:
        host: For the message.
        version: The engine's answer to ``GET /version``.

    Raises:
        EngineUnavailable: It is too old.
    """
    api = tuple(int(part) for part in str(version.get("ApiVersion", "0")).split("."))
    if api < MINIMUM_API_VERSION:
        raise EngineUnavailable(
            f"The Docker engine at {host.url} is too old: version {version.get('Version')} "
            f"(API {version.get('ApiVersion')}) has no BuildKit.",
            remedy="Docker Engine 18.09 (API 1.39) or newer is needed; install a current one.",
        )


def said_by(error: BaseException) -> str:
    """What the engine said, without the SDK's wrapping."""
    if isinstance(error, APIError):
        return str(error.explanation or error).strip()
    return str(error)


def variables_in(inspected: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables of an image or a container, as the engine describes it."""
    config = inspected.get("Config") or {}
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or [])


def _client(host: EngineHost, timeout: int | None) -> docker.DockerClient:
    client = docker.DockerClient(
        base_url=host.url,
        tls=host.tls or False,
        timeout=timeout,  # type: ignore[arg-type]  # requests takes None for "never"
        version=".".join(map(str, MINIMUM_API_VERSION)),
        use_ssh_client=host.url.startswith("ssh://"),
    )
    api: Any = client.api
    if host.tls is not None or host.is_socket:
        # Otherwise REQUESTS_CA_BUNDLE would be taken instead of the engine's own certificate; and
        # for a socket, which has no proxy, proxies would be looked for with each request.
        api.trust_env = False
    return client


def _speak(api: Any, version: str) -> None:  # noqa: ANN401 the SDK's client, and its own attribute
    """Have a client use the engine's version of the API, without asking for it once more."""
    api._version = version


def _is_this_machine(host: EngineHost, engine_name: str) -> bool:
    """A socket file is this machine's. A loopback address may be a tunnel: compare the names."""
    if host.is_socket:
        return True
    return urlsplit(host.url).hostname in _LOOPBACK and engine_name == socket.gethostname()


def _reason(error: BaseException) -> str:
    """The innermost cause: what the operating system said, without the SDK's wrapping."""
    seen: BaseException = error
    while (cause := seen.__cause__ or seen.__context__) is not None and cause is not seen:
        seen = cause
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    return str(seen) or type(seen).__name__


def _connection_advice(host: EngineHost, error: BaseException) -> str:
    reason = _reason(error).lower()
    if host.url.startswith("ssh://") and "paramiko" in str(error):
        return "Install what is needed for ssh: pip install 'mlflow-container-backend[ssh]'"
    if host.is_socket and "permission denied" in reason:
        return (
            "You may not use the socket. Add yourself to its group and log in again:\n"
            "    sudo usermod -aG docker $USER"
        )
    if not host.is_socket:
        return "Check DOCKER_HOST (or the current `docker context`) and that the host is up."
    if platform.system() == "Linux":
        return (
            "Start it (`sudo systemctl start docker`) or install one:\n"
            "    https://docs.docker.com/engine/install/"
        )
    return "Start Docker Desktop (or your engine of choice), or set DOCKER_HOST."
