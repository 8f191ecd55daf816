"""Registry logins in the docker command's config file and credential helpers."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine.sdk import DockerException, auth

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__package__)
# BuildKit and the Docker config file use different names for Docker Hub.
HUB_NAMES: Final = frozenset(
    {"registry-1.docker.io", "docker.io", "index.docker.io", "registry.hub.docker.com"}
)


@dataclass(frozen=True)
class Login:
    """A registry login; an empty user name means that the password is an identity token."""

    username: str
    password: str = field(repr=False)


def registry_of(reference: str) -> str:
    """The host of an image reference's registry."""
    return str(auth.resolve_repository_name(reference.partition("@")[0])[0])


def is_same_registry(one: str, other: str) -> bool:
    """True for hosts of one registry; Docker Hub has several names."""
    return one == other or {one, other} <= HUB_NAMES


def saved_logins() -> Callable[[str], Login | None]:
    """A function that returns the saved login of a registry's host, or None."""
    configs: Any = auth.load_config()

    def lookup(host: str) -> Login | None:
        try:
            known = configs.resolve_authconfig(auth.INDEX_NAME if host in HUB_NAMES else host)
        except DockerException as error:
            # The registry may need no login.
            _logger.warning("The Docker config has no login for %s: %s", host, error)
            return None
        # The SDK writes `username` for the config file, `Username` for helpers, and always
        # `IdentityToken`.
        found = {key.lower(): value for key, value in (known or {}).items()}
        if token := found.get("identitytoken"):
            return Login("", str(token))
        username = found.get("username")
        return Login(str(username), str(found.get("password"))) if username else None

    return lookup


def as_header(login: Login | None) -> dict[str, str]:
    """A login in the Engine API's format.

    An empty dict stops the SDK from looking for a login itself, which fails without a helper.
    """
    if login is None:
        return {}
    if not login.username:
        return {"identitytoken": login.password}
    return {"username": login.username, "password": login.password}
