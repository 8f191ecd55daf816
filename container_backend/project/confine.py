"""Keep the paths of an untrusted project inside the project's folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from container_backend.errors import InvalidProject
from container_backend.masking import without_credentials
from container_backend.privileges import Right
from container_backend.project.parameters import HTTP, is_address, local_path

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from pathlib import Path

    from container_backend.privileges import Permissions
    from container_backend.project.entry_points import EntryPoint, Project


def confine_paths(
    project: Project,
    entry_point: EntryPoint,
    values: Mapping[str, object],
    typed: Container[str],
    permissions: Permissions,
) -> EntryPoint:
    """Refuse paths outside the project, and addresses, that the user did not type.

    An address of HTTP is downloaded from a public server, without a login: the program can do that, too.

    Args:
        values: The values of the parameters by name.
        typed: The names of the parameters that the user typed for this run.

    Returns:
        The entry point, in which paths inside the project mean files of the project, and not of
        the user's current folder. In a project of another person they have the type string: they are
        files in the program's folder.

    Raises:
        InvalidProject: A default or a recorded value is a path outside the project.
    """
    parameters = dict(entry_point.parameters)
    for name, parameter in entry_point.parameters.items():
        value = values.get(name, parameter.default)
        if parameter.type != "path" or name in typed or value is None:
            continue
        if permissions.is_own:
            parameter = replace(parameter, folder=project.directory)  # noqa: PLW2901
            parameters[name] = parameter
        if permissions.allow(Right.PATHS):
            continue
        problem = _problem(project.directory, str(value), permissions)
        if problem:
            key = f"entry_points.{entry_point.name}.parameters.{name}"
            raise InvalidProject(
                f"{project.where}, key '{key}{'' if name in values else '.default'}': "
                f"{permissions.reason}, and names '{without_credentials(str(value))}', {problem}.",
                remedy=f"Give a path yourself: -P {name}=PATH. {permissions.remedy}",
            )
        if is_address(str(value)):
            parameters[name] = replace(parameter, is_public=not permissions.allow(Right.ADDRESSES))
        elif not permissions.is_own:
            parameters[name] = replace(parameter, type="string")
    return replace(entry_point, parameters=parameters)


def _problem(directory: Path, text: str, permissions: Permissions) -> str:
    """Why a value may not be used; empty if it may."""
    if not is_address(text):
        return "" if _is_inside(directory, text) else "which is outside the project"
    if text.startswith(HTTP) or permissions.allow(Right.ADDRESSES):
        return ""
    return "which is read with your logins"


def _is_inside(directory: Path, text: str) -> bool:
    if text.startswith("~"):
        return False
    try:
        return local_path(text, directory).resolve().is_relative_to(directory)
    except (ValueError, OSError, RuntimeError):  # a NUL character, a loop of links
        return False
