"""Docker arguments from the project's ``docker_env`` and from the setting ``allow_engine``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from container_backend import labels_and_tags
from container_backend.container.docker_args import DockerArgs, parse_docker_args
from container_backend.errors import InvalidConfig
from container_backend.machine import owner_id
from container_backend.privileges import Permissions, check_variables, check_volumes

if TYPE_CHECKING:
    from container_backend.engine import Engine
    from container_backend.environment import DockerEnvironment


def asked_args(
    given: DockerArgs, environment: DockerEnvironment, directory: Path, permissions: Permissions
) -> DockerArgs:
    """The docker arguments of a ``docker_env``; raises InvalidInput if one is invalid or refused.

    Args:
        given: The caller's docker arguments.
        directory: The project's folder; volumes are relative to this folder.
    """
    check_volumes(environment.where, environment.volumes, permissions)
    check_variables(environment.where, environment.variables, given.environment, permissions)
    volumes = [
        f"{directory}/{volume}" if volume.startswith(".") else volume
        for volume in environment.volumes
    ]
    return parse_docker_args({"volume": volumes, "env": list(environment.variables)})


def beneath(asked: DockerArgs, given: DockerArgs) -> DockerArgs:
    """The arguments of project and caller; those of the caller take precedence."""
    return replace(
        given,
        binds=[*asked.binds, *given.binds],
        environment={**asked.environment, **given.environment},
    )


def with_engine(args: DockerArgs, connected: Engine) -> DockerArgs:
    """Add the engine's socket; raises InvalidConfig if the engine has none on this machine."""
    url = connected.host.url
    if not connected.host.is_socket:
        raise InvalidConfig(
            f"'allow_engine' needs an engine on a socket of this machine, not {url}."
        )
    path = Path(url.removeprefix("unix://"))
    try:
        group = path.stat().st_gid
    except OSError as error:
        raise InvalidConfig(f"'allow_engine': '{path}': {error.strerror}.") from error
    return replace(
        args,
        binds=[*args.binds, f"{path}:{path}"],
        environment={**args.environment, "DOCKER_HOST": url, labels_and_tags.ENV_OWNER: owner_id()},
        groups=[*args.groups, group],
    )
