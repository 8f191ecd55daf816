"""Finds the address of an engine as the docker command does."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine.sdk import ContextAPI, DockerException, TLSConfig
from container_backend.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
# The SDK writes `http+unix://` for `unix://`.
_SDK_PREFIX: Final = "http+"


@dataclass(frozen=True)
class EngineHost:
    """The address of an engine.

    Attributes:
        url: ``unix://…``, ``tcp://host:port`` or ``ssh://user@host``.
        tls: Certificates for ``tcp://``; None for a connection without TLS.
    """

    url: str
    tls: TLSConfig | None = None

    @property
    def is_socket(self) -> bool:
        """True for a socket file of this machine."""
        return self.url.startswith("unix://")

    def as_json(self) -> dict[str, Any]:
        """For another process of this user."""
        tls = self.tls
        return {
            "url": self.url,
            "tls": tls and {"client_cert": tls.cert, "ca_cert": tls.ca_cert, "verify": tls.verify},
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> EngineHost:
        """From the text of :meth:`as_json`.

        Raises:
            KeyError, TypeError: Another text.
            EngineUnavailable: The certificates are gone.
        """
        given = said["tls"]
        if not given:
            return cls(said["url"])
        try:
            tls = TLSConfig(**{**given, "client_cert": tuple(given["client_cert"])})
        except DockerException as error:
            raise EngineUnavailable(
                f"The TLS certificates of the Docker engine at {said['url']} are gone: {error}"
            ) from error
        return cls(said["url"], tls)


def find_host(environ: Mapping[str, str] = os.environ) -> EngineHost:
    """The engine that the docker command would use: ``DOCKER_HOST``, then the current context."""
    if url := environ.get("DOCKER_HOST"):
        return EngineHost(url.removeprefix(_SDK_PREFIX), _tls_from_environment(environ))
    name = environ.get("DOCKER_CONTEXT")
    try:
        context = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
    except (DockerException, OSError, ValueError) as error:
        raise EngineUnavailable(
            f"The Docker context cannot be read: {error}",
            remedy="List the contexts with `docker context ls`, or set DOCKER_HOST.",
        ) from error
    if context is None and name:
        raise EngineUnavailable(
            f"DOCKER_CONTEXT names the context '{name}', which does not exist.",
            remedy="List the contexts with `docker context ls`.",
        )
    if context is None:
        return EngineHost(DEFAULT_HOST)
    url = (context.Host or DEFAULT_HOST).removeprefix(_SDK_PREFIX)
    return EngineHost(url, context.TLSConfig or None)


def _tls_from_environment(environ: Mapping[str, str]) -> TLSConfig | None:
    """https://docs.docker.com/reference/cli/docker/#environment-variables has the rules."""
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
