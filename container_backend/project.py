"""The MLproject file: entry points, their parameters, and which environment they ask for."""

from __future__ import annotations

import difflib
import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from container_backend.errors import InvalidProject
from container_backend.parameters import Parameter
from container_backend.yaml_file import kind_of, load_mapping

_logger = logging.getLogger(__name__)

MLPROJECT: Final = "MLproject"
MAIN: Final = "main"
ENVIRONMENT_KEYS: Final = ("python_env", "conda_env", "docker_env")
_PROJECT_KEYS: Final = ("name", "entry_points", *ENVIRONMENT_KEYS)
_ENTRY_POINT_KEYS: Final = ("command", "parameters", "description", *ENVIRONMENT_KEYS)
_PARAMETER_KEYS: Final = ("type", "default", "description")
# What runs a file that is named as entry point without being declared as one.
# https://mlflow.org/docs/latest/ml/projects/#directory
_INTERPRETERS: Final = {".py": "python", ".sh": "bash"}


@dataclass(frozen=True)
class EntryPoint:
    """A command with holes: ``{name}`` stands for the value of a parameter.

    Attributes:
        name: As declared, or the name of a file.
        command: For a shell.
        parameters: By name.
        environment: As that of a project; comes before it.
        description: For people.
    """

    name: str
    command: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True)
class Project:
    """A project as its MLproject file describes it; without one, a folder of scripts.

    Attributes:
        name: As declared, or None.
        directory: Absolute path of the folder with the code.
        file: The MLproject file, or None.
        entry_points: By name.
        environment: What the keys ``python_env``, ``conda_env`` and ``docker_env`` say, unread.
    """

    name: str | None
    directory: Path
    file: Path | None
    entry_points: Mapping[str, EntryPoint]
    environment: Mapping[str, Any]

    def entry_point(self, name: str) -> EntryPoint:
        """The entry point of a name: a declared one, or a ``.py`` or ``.sh`` file.

        Raises:
            InvalidProject: Neither.
        """
        if name in self.entry_points:
            return self.entry_points[name]
        interpreter = _INTERPRETERS.get(Path(name).suffix)
        file = (self.directory / name).resolve()
        if interpreter and file.is_file() and file.is_relative_to(self.directory):
            return EntryPoint(name, f"{interpreter} {shlex.quote(name)}")
        where = self.file or self.directory
        known = ", ".join(f"'{known}'" for known in self.entry_points)
        near = difflib.get_close_matches(name, self.entry_points, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InvalidProject(
            f"{where}: there is no entry point '{name}', and no .py or .sh file of that name.",
            remedy=(f"Declared entry points: {known}.{hint}" if known else "None are declared."),
        )


def read_project(directory: Path) -> Project:
    """Read the MLproject file of a folder, whatever the case of its name.

    Raises:
        InvalidProject: It is not YAML, not a mapping, or a key holds something else than it may.
    """
    directory = directory.resolve()
    file = _find_mlproject(directory)
    if file is None:
        return Project(None, directory, None, {}, {})
    content, _ = load_mapping(file, InvalidProject)
    if content.get("databricks_spark_job") is not None:
        raise InvalidProject(
            f"{file}, key 'databricks_spark_job': such a job runs on Databricks only."
        )
    _warn_of_unknown(file, "", content, _PROJECT_KEYS)
    entry_points = _mapping(file, "entry_points", content.get("entry_points"))
    return Project(
        name=_text(file, "name", content.get("name")) or None,
        directory=directory,
        file=file,
        entry_points={
            str(name): _entry_point(file, str(name), value) for name, value in entry_points.items()
        },
        environment=_environment(content),
    )


def _find_mlproject(directory: Path) -> Path | None:
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        raise InvalidProject(
            f"The project '{directory}' cannot be read: {error.strerror}."
        ) from error
    return next((directory / name for name in names if name.lower() == MLPROJECT.lower()), None)


def _environment(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: content[key] for key in ENVIRONMENT_KEYS if content.get(key) is not None}


def _entry_point(file: Path, name: str, value: object) -> EntryPoint:
    key = f"entry_points.{name}"
    if not isinstance(value, Mapping):
        raise _wrong(file, key, "a mapping with a 'command'", value)
    _warn_of_unknown(file, key, value, _ENTRY_POINT_KEYS)
    command = value.get("command")
    if not isinstance(command, str) or not command.strip():
        raise InvalidProject(f"{file}, key '{key}.command': a command is needed.")
    parameters = _mapping(file, f"{key}.parameters", value.get("parameters"))
    return EntryPoint(
        name,
        command,
        {
            str(parameter): _parameter(file, f"{key}.parameters.{parameter}", str(parameter), given)
            for parameter, given in parameters.items()
        },
        _environment(value),
        _text(file, f"{key}.description", value.get("description")),
    )


def _parameter(file: Path, key: str, name: str, value: object) -> Parameter:
    """``name: int``, or ``name: {type: int, default: 1}``; other keys are let pass, as by MLflow."""
    if isinstance(value, str):
        return Parameter(name, value)
    if not isinstance(value, Mapping):
        raise _wrong(file, key, "a type, or a mapping with 'type' and 'default'", value)
    _warn_of_unknown(file, key, value, _PARAMETER_KEYS)
    default = value.get("default")
    return Parameter(
        name,
        str(value.get("type") or "string"),
        None if default is None else str(default),
        str(value.get("description") or ""),
    )


def _warn_of_unknown(
    file: Path, key: str, content: Mapping[str, Any], known: tuple[str, ...]
) -> None:
    """MLflow lets them pass without a word."""
    for name in map(str, content):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            _logger.warning(
                "%s, key '%s': not known, and left aside%s",
                file,
                f"{key}.{name}" if key else name,
                f" (did you mean '{near[0]}'?)" if near else "",
            )


def _mapping(file: Path, key: str, value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(file, key, "a mapping", value)
    return value


def _text(file: Path, key: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(file, key, "text", value)
    return value


def _wrong(file: Path, key: str, meaning: str, value: object) -> InvalidProject:
    return InvalidProject(f"{file}, key '{key}': {meaning} is needed, not {kind_of(value)}.")
