"""Logins for registries: from ``docker_auth``, the Docker config file and its helpers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import docker.auth
from docker.errors import DockerException

from container_backend.buildkit import RegistryCredentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.engine import Engine

_logger = logging.getLogger(__name__)

# BuildKit and the Docker config file call Docker Hub by different names.
_HUB_NAMES = frozenset(
    {"registry-1.docker.io", "docker.io", "index.docker.io", "registry.hub.docker.com"}
)


def credentials_of(
    engine: Engine, docker_auth: Mapping[str, Any] | None = None
) -> Callable[[str], RegistryCredentials | None]:
    """A function that knows the login of a registry's host, or None.

    Args:
        engine: Whose client has read the Docker config file.
        docker_auth: What ``mlflow.projects.run(docker_auth=…)`` was given: ``username``,
            ``password`` and ``registry``, as for ``docker login``.
    """
    # Read by the SDK when it connected; it has no public name for it.
    configs: Any = getattr(engine.client.api, "_auth_configs")  # noqa: B009

    def lookup(host: str) -> RegistryCredentials | None:
        hub = host in _HUB_NAMES
        if docker_auth and docker_auth.get("username"):
            registry = str(docker_auth.get("registry") or "")
            registry = registry.removeprefix("https://").removeprefix("http://").partition("/")[0]
            if registry == host or (hub and registry in _HUB_NAMES | {""}):
                return RegistryCredentials(
                    str(docker_auth["username"]), str(docker_auth.get("password") or "")
                )
        try:
            known = configs.resolve_authconfig(docker.auth.INDEX_NAME if hub else host)
        except DockerException as error:
            # The registry may let everybody in.
            _logger.warning("The Docker config has no login for %s: %s", host, error)
            return None
        if not known:
            return None
        if token := known.get("IdentityToken") or known.get("identitytoken"):
            return RegistryCredentials("", str(token))
        username = known.get("Username") or known.get("username")
        password = known.get("Password") or known.get("password")
        return RegistryCredentials(str(username), str(password)) if username else None

    return lookup


def auth_config(
    engine: Engine, reference: str, docker_auth: Mapping[str, Any] | None
) -> dict[str, str]:
    """The login for an image's registry, in the form that the SDK's calls take; empty for none.

    Not None: the SDK would look for one itself, and raise where a helper is missing.
    """
    host, _ = docker.auth.resolve_repository_name(reference.partition("@")[0])
    found = credentials_of(engine, docker_auth)(host)
    if found is None:
        return {}
    if not found.username:
        return {"identitytoken": found.password}
    return {"username": found.username, "password": found.password}
