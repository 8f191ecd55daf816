"""Keep the paths of an untrusted project inside the project's folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from container_backend.errors import InvalidProject
from container_backend.project.parameters import is_address, local_path

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
    """Refuse paths outside the project that the user did not type.

    Args:
        values: The values of the parameters by name.
        typed: The names of the parameters that the user typed for this run.

    Returns:
        The entry point, in which paths inside the project have the type string: they mean files
        in the program's folder, and not in the user's current folder.

    Raises:
        InvalidProject: A default or a recorded value is a path outside the project.
    """
    if permissions.trusted:
        return entry_point
    parameters = dict(entry_point.parameters)
    for name, parameter in entry_point.parameters.items():
        value = values.get(name, parameter.default)
        if parameter.type != "path" or name in typed or value is None or is_address(str(value)):
            continue
        if not _is_inside(project.directory, str(value)):
            key = f"entry_points.{entry_point.name}.parameters.{name}"
            raise InvalidProject(
                f"{project.where}, key '{key}{'' if name in values else '.default'}': "
                f"{permissions.reason}, and names '{value}', which is outside the project.",
                remedy=f"Give a path yourself: -P {name}=PATH. {permissions.remedy}",
            )
        parameters[name] = replace(parameter, type="string")
    return replace(entry_point, parameters=parameters)


def _is_inside(directory: Path, text: str) -> bool:
    if text.startswith("~"):
        return False
    try:
        return local_path(text, directory).resolve().is_relative_to(directory)
    except (ValueError, OSError, RuntimeError):  # a NUL character, a loop of links
        return False
