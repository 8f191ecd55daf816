"""Read the MLproject file: entry points, their parameters, and environment keys."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from container_backend.errors import InvalidProject
from container_backend.machine import did_you_mean, kind_of, load_mapping
from container_backend.project.entry_points import EntryPoint, Project
from container_backend.project.parameters import Parameter

if TYPE_CHECKING:
    from pathlib import Path

_logger = logging.getLogger(__package__)
_FILE: Final = "MLproject"
_PROJECT_KEYS: Final = ("name", "entry_points")
_ENTRY_POINT_KEYS: Final = ("command", "parameters", "description")
_PARAMETER_KEYS: Final = ("type", "default", "description")


def read_project(directory: Path, environment_keys: tuple[str, ...]) -> Project:
    """Read the MLproject file of a folder; upper and lower case of its name do not matter.

    Args:
        directory: A folder; one without an MLproject file is a project of scripts.
        environment_keys: The keys of environments, whose values are kept raw.

    Raises:
        InvalidProject: The file is not YAML or not a mapping, or a key has a wrong value.
    """
    directory = directory.resolve()
    file = _find_mlproject(directory)
    if file is None:
        return Project(None, directory, None, {}, {})
    content, _ = load_mapping(file, InvalidProject)
    return parse_project(content, directory, file, environment_keys)


def parse_project(
    content: Mapping[str, Any],
    directory: Path,
    file: Path | None,
    environment_keys: tuple[str, ...],
    address: str = "",
) -> Project:
    """Check the content of an MLproject file.

    Args:
        address: The image that contains the project; empty for a folder.

    Raises:
        InvalidProject: A key has a wrong value.
    """
    where = address or str(file)
    if content.get("databricks_spark_job") is not None:
        raise InvalidProject(
            f"{where}, key 'databricks_spark_job': this job runs only on Databricks."
        )
    _warn_of_unknown(where, "", content, (*_PROJECT_KEYS, *environment_keys))
    entry_points = _mapping(where, "entry_points", content.get("entry_points"))
    return Project(
        name=_text(where, "name", content.get("name")) or None,
        directory=directory,
        file=file,
        entry_points={
            str(name): _entry_point(where, str(name), value, environment_keys)
            for name, value in entry_points.items()
        },
        environment=_environment(content, environment_keys),
        address=address,
    )


def _find_mlproject(directory: Path) -> Path | None:
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        raise InvalidProject(
            f"The project '{directory}' cannot be read: {error.strerror}."
        ) from error
    return next((directory / name for name in names if name.lower() == _FILE.lower()), None)


def _environment(content: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: content[key] for key in keys if content.get(key) is not None}


def _entry_point(
    where: str, name: str, value: object, environment_keys: tuple[str, ...]
) -> EntryPoint:
    key = f"entry_points.{name}"
    if not isinstance(value, Mapping):
        raise _wrong(where, key, "a mapping with a 'command'", value)
    _warn_of_unknown(where, key, value, (*_ENTRY_POINT_KEYS, *environment_keys))
    command = value.get("command")
    if not isinstance(command, str) or not command.strip():
        raise InvalidProject(f"{where}, key '{key}.command': a command is needed.")
    parameters = _mapping(where, f"{key}.parameters", value.get("parameters"))
    return EntryPoint(
        name,
        command,
        {
            str(parameter): _parameter(
                where, f"{key}.parameters.{parameter}", str(parameter), given
            )
            for parameter, given in parameters.items()
        },
        _environment(value, environment_keys),
        _text(where, f"{key}.description", value.get("description")),
    )


def _parameter(where: str, key: str, name: str, value: object) -> Parameter:
    """Read ``name: int`` or ``name: {type: int, default: 1}``; other keys only warn, as in MLflow."""
    if isinstance(value, str):
        return Parameter(name, value)
    if not isinstance(value, Mapping):
        raise _wrong(where, key, "a type, or a mapping with 'type' and 'default'", value)
    _warn_of_unknown(where, key, value, _PARAMETER_KEYS)
    default = value.get("default")
    return Parameter(
        name,
        str(value.get("type") or "string"),
        None if default is None else str(default),
        str(value.get("description") or ""),
    )


def _warn_of_unknown(
    where: str, key: str, content: Mapping[str, Any], known: tuple[str, ...]
) -> None:
    for name in map(str, content):
        if name not in known:
            hint = did_you_mean(name, known)
            before, colon, after = name.partition(":")
            if colon and before in known:
                hint = f" (put a space after the colon: '{before}: {after}')"
            full = f"{key}.{name}" if key else name
            _logger.warning("%s, key '%s': unknown and ignored%s", where, full, hint)


def _mapping(where: str, key: str, value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(where, key, "a mapping", value)
    return value


def _text(where: str, key: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | Mapping):
        raise _wrong(where, key, "text", value)
    return str(value)  # `2024` is a number in YAML, and a name all the same


def _wrong(where: str, key: str, meaning: str, value: object) -> InvalidProject:
    return InvalidProject(f"{where}, key '{key}': {meaning} is needed, not {kind_of(value)}.")
