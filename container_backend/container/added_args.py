"""Docker arguments that the user did not type: the project's, those of settings, defaults."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from container_backend import labels_and_tags
from container_backend.container.docker_args import DockerArgs, parse_docker_args
from container_backend.container.store_access import ACCESS_VARIABLES
from container_backend.engine import unkept_limits
from container_backend.environment import DockerEnvironment
from container_backend.errors import InvalidConfig, InvalidProject
from container_backend.machine import owner_id, owner_key
from container_backend.privileges import (
    TRUSTED,
    Permissions,
    Right,
    check_variables,
    check_volumes,
    default_args,
    missing_limits,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import Engine, EngineFacts
    from container_backend.environment import EnvironmentSpec

_logger = logging.getLogger(__package__)


def asked_args(
    given: DockerArgs,
    environment: EnvironmentSpec | DockerEnvironment,
    directory: Path,
    permissions: Permissions,
) -> DockerArgs:
    """The docker arguments of a ``docker_env``; raises InvalidInput if one is invalid or refused.

    Args:
        given: The caller's docker arguments.
        directory: The project's folder; volumes are relative to this folder.
    """
    if not isinstance(environment, DockerEnvironment):
        return DockerArgs()
    named = [each for each in environment.volumes if not _is_inside(directory, each)]
    check_volumes(
        environment.where, named if permissions.is_own else environment.volumes, permissions
    )
    check_variables(environment.where, environment.variables, given.environment, permissions)
    _check_store_variables(environment, permissions)
    _check_expected(environment, {**os.environ, **given.environment})
    volumes = [_resolved(environment.where, directory, volume) for volume in environment.volumes]
    if not permissions.allow(Right.PATHS):
        volumes = [_read_only(volume, environment.where, permissions) for volume in volumes]
    return parse_docker_args({"volume": volumes, "env": list(environment.variables)})


def _check_store_variables(environment: DockerEnvironment, permissions: Permissions) -> None:
    """Refuse a project that says how other processes reach the store of its run."""
    names = {variable.partition("=")[0] for variable in environment.variables}
    if (set_ := sorted(names.intersection(ACCESS_VARIABLES))) and not permissions.allow(
        Right.VARIABLES
    ):
        raise permissions.refusal(
            Right.VARIABLES,
            f"{environment.where}, key 'environment'",
            f"sets {', '.join(set_)}, by which the store of the run is reached",
        )


def _check_expected(environment: DockerEnvironment, given: Mapping[str, str]) -> None:
    """Refuse a project whose variables are missing, as MLflow does."""
    missing = [name for name in environment.variables if "=" not in name and name not in given]
    if missing:
        raise InvalidProject(
            f"{environment.where}, key 'environment': the project expects {', '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not set.",
            remedy="Set what it expects, or pass it: "
            + " ".join(f"-A env={name}=…" for name in missing),
        )


def _resolved(where: str, directory: Path, volume: str) -> str:
    """A volume of the project by its real path: engines take ``link/..`` for the folder of the link."""
    source, colon, target = volume.partition(":")
    if not source.startswith("."):
        # Only a trusted project gets here. MLflow's own backend leaves it to a shell.
        source = os.path.expandvars(source)
        if "$" in source or "`" in source:
            raise InvalidProject(
                f"{where}, key 'volumes': '{source}' cannot be read, because no shell reads it: only "
                "$(pwd) and variables that are set are known.",
                remedy="Name the folder.",
            )
        return f"{source}{colon}{target}"
    return f"{os.path.realpath(directory / source)}{colon}{target}"


def _read_only(volume: str, where: str, permissions: Permissions) -> str:
    """A program that writes to a folder of a clone writes what the user runs next: hooks, Makefiles."""
    source, _, rest = volume.partition(":")
    target, _, mode = rest.partition(":")
    options = [option for option in mode.split(",") if option not in {"", "rw", "ro"}]
    if "ro" not in mode.split(","):
        _logger.warning(
            "%s: '%s' is mounted read-only, because %s. To let the program write to this folder: "
            "-A volume=%s:%s",
            *(where, source, permissions.reason, source, target),
        )
    return f"{source}:{target}:{','.join([*options, 'ro'])}"


def _is_inside(directory: Path, volume: str) -> bool:
    """True for a folder of the project; links are followed."""
    source = volume.partition(":")[0]
    try:
        return source.startswith(".") and (directory / source).resolve().is_relative_to(directory)
    except (ValueError, OSError, RuntimeError):  # a NUL character, a loop of links
        return False


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
        environment={
            **args.environment,
            "DOCKER_HOST": url,
            labels_and_tags.ENV_OWNER: owner_id(),
            labels_and_tags.ENV_OWNER_KEY: owner_key(),
        },
        groups=[*args.groups, group],
    )


def with_defaults(args: DockerArgs, level: str, facts: EngineFacts) -> DockerArgs:
    """Add the defaults of a level of privileges; a limit that the engine lacks is only a warning.

    Raises:
        InvalidConfig: The engine lacks a limit that the user typed.
    """
    typed = {name for name, _ in args.typed} | ({"network"} if args.network else set())
    if not args.host_config.get("privileged"):
        typed.discard("privileged")
    if unkept := unkept_limits(typed, facts):
        raise InvalidConfig(
            f"The docker argument '{unkept[0]}': the engine cannot enforce this limit."
        )
    given = default_args(typed, level, facts.memory, facts.limits)
    lacking = missing_limits(typed, facts.limits) if level != TRUSTED else []
    if lacking:
        _logger.warning(
            "The engine cannot limit %s of a program; this run goes without that limit",
            " and ".join(lacking),
        )
    parsed = parse_docker_args(given)
    dropped = [*parsed.host_config.get("cap_drop", ()), *args.host_config.get("cap_drop", ())]
    options = list(args.host_config.get("security_opt", ()))
    if not any(option.startswith("no-new-privileges") for option in options):
        options = [*parsed.host_config.get("security_opt", ()), *options]
    return replace(
        args,
        host_config={
            **parsed.host_config,
            **args.host_config,
            **({"cap_drop": dropped} if dropped else {}),
            **({"security_opt": options} if options else {}),
        },
        network=args.network or parsed.network,
        typed=[*args.typed, *parsed.typed],
    )
