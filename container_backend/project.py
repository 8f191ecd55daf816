"""MLproject: entry points, their parameters, and the command line of a run."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from container_backend.errors import InvalidProject

MLPROJECT = "MLproject"
ENVIRONMENT_KEYS = ("python_env", "conda_env", "docker_env")
# What runs a file that is named as entry point without being declared as one.
# https://mlflow.org/docs/latest/ml/projects/#directory
_INTERPRETERS = {".py": "python", ".sh": "bash"}


@dataclass(frozen=True)
class Parameter:
    """A declared parameter. Without a default a value is required, as in MLflow."""

    name: str
    type: str = "string"
    default: str | None = None


@dataclass(frozen=True)
class EntryPoint:
    """A command with holes: ``{name}`` stands for the value of a parameter."""

    name: str
    command: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


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
        if interpreter and (self.directory / name).is_file():
            return EntryPoint(name, f"{interpreter} {shlex.quote(name)}")
        where = self.file or self.directory
        known = ", ".join(f"'{known}'" for known in self.entry_points)
        near = difflib.get_close_matches(name, self.entry_points, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InvalidProject(
            f"{where}: there is no entry point '{name}', and no .py or .sh file of that name.",
            remedy=(f"Declared entry points: {known}.{hint}" if known else "None are declared."),
        )


@dataclass(frozen=True)
class Command:
    """What is run, and what of it is worth writing down.

    Attributes:
        line: For a POSIX shell, every value quoted.
        parameters: Name → value as given, for the run's record.
        paths: Files and folders of this machine that the program is handed, absolute.
    """

    line: str
    parameters: Mapping[str, str]
    paths: tuple[Path, ...] = ()


def read_project(directory: Path) -> Project:
    """Read the MLproject file of a folder, whatever the case of its name.

    Raises:
        InvalidProject: It is not YAML, not a mapping, or a key holds something else than it may.
    """
    directory = directory.resolve()
    file = _find_mlproject(directory)
    if file is None:
        return Project(None, directory, None, {}, {})
    content = _load_yaml(file)
    for key in ("name",):
        _expect(file, key, content.get(key), (str, type(None)), "text")
    entry_points = _expect(
        file, "entry_points", content.get("entry_points") or {}, dict, "a mapping"
    )
    return Project(
        name=content.get("name"),
        directory=directory,
        file=file,
        entry_points={
            str(name): _entry_point(file, str(name), value) for name, value in entry_points.items()
        },
        environment={key: content[key] for key in ENVIRONMENT_KEYS if content.get(key) is not None},
    )


def _find_mlproject(directory: Path) -> Path | None:
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        raise InvalidProject(
            f"The project '{directory}' cannot be read: {error.strerror}."
        ) from error
    return next((directory / name for name in names if name.lower() == MLPROJECT.lower()), None)


def _load_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InvalidProject(f"{file}: not YAML: {describe_yaml_error(error)}.") from error
    except UnicodeDecodeError as error:
        raise InvalidProject(f"{file}: not UTF-8 text.") from error
    except OSError as error:
        raise InvalidProject(f"{file}: cannot be read: {error.strerror}.") from error
    if content is None:
        return {}
    return dict(_expect(file, None, content, dict, "a mapping (key: value)"))


def describe_yaml_error(error: yaml.YAMLError) -> str:
    """A YAML error in one line: ``line 3, column 7: mapping values are not allowed here``."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())


def _entry_point(file: Path, name: str, value: object) -> EntryPoint:
    key = f"entry_points.{name}"
    content = _expect(file, key, value, dict, "a mapping with a 'command'")
    command = content.get("command")
    if not isinstance(command, str) or not command.strip():
        raise InvalidProject(f"{file}, key '{key}.command': a command is needed.")
    parameters = _expect(
        file, f"{key}.parameters", content.get("parameters") or {}, dict, "a mapping"
    )
    return EntryPoint(
        name,
        command,
        {
            str(parameter): _parameter(file, f"{key}.parameters.{parameter}", str(parameter), given)
            for parameter, given in parameters.items()
        },
    )


def _parameter(file: Path, key: str, name: str, value: object) -> Parameter:
    """``name: int``, or ``name: {type: int, default: 1}``; other keys are let pass, as by MLflow."""
    if isinstance(value, str):
        return Parameter(name, value)
    content = _expect(file, key, value, dict, "a type, or a mapping with 'type' and 'default'")
    default = content.get("default")
    return Parameter(
        name, str(content.get("type", "string")), None if default is None else str(default)
    )


def _expect(file: Path, key: str | None, value: Any, kind: Any, meaning: str) -> Any:  # noqa: ANN401
    """The value, if it is of that kind. YAML holds anything, so this is typed loosely."""
    if isinstance(value, kind):
        return value
    where = f"{file}, key '{key}'" if key else f"{file}"
    raise InvalidProject(f"{where}: {meaning} is needed, not {_yaml_kind(value)}.")


def _yaml_kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    return f"'{value}'"


def compute_command(
    project: Project, entry_point: EntryPoint, values: Mapping[str, object]
) -> Command:
    """Fill the holes of an entry point's command; append values it does not declare.

    The rules are those of ``mlflow.projects._project_spec.EntryPoint.compute_command``: declared
    values are quoted for a shell and put in place of ``{name}``, all others are appended as
    ``--name value``.

    Args:
        project: For messages.
        entry_point: Whose command.
        values: As the caller gave them.

    Raises:
        InvalidProject: A value is missing or cannot be passed on, or the command names a
            parameter that is not declared.
    """
    where = f"{project.file or project.directory}, entry point '{entry_point.name}'"
    given = {str(name): str(value) for name, value in values.items()}
    for name, value in given.items():
        if "\0" in name + value:
            raise InvalidProject(
                f"{where}: the value of parameter '{name}' contains a NUL character, "
                "which no program can be passed."
            )
    defaults = {
        name: parameter.default
        for name, parameter in entry_point.parameters.items()
        if parameter.default is not None
    }
    declared = {
        name: given.get(name, defaults.get(name, ""))
        for name in entry_point.parameters
        if name in given or name in defaults
    }
    if missing := [name for name in entry_point.parameters if name not in declared]:
        raise InvalidProject(
            f"{where}: no value for {_parameters(missing)}.",
            remedy="Give " + " ".join(f"-P {name}=…" for name in missing) + ".",
        )
    paths = {
        name: _local_path(where, name, declared[name])
        for name, parameter in entry_point.parameters.items()
        if parameter.type == "path"
    }
    filled = declared | {name: str(path) for name, path in paths.items()}
    extra = {name: value for name, value in given.items() if name not in declared}
    words = [_fill(where, entry_point.command, filled)]
    words += [f"--{shlex.quote(name)} {shlex.quote(value)}" for name, value in extra.items()]
    return Command(" ".join(words), declared | extra, tuple(paths.values()))


def _parameters(names: list[str]) -> str:
    quoted = ", ".join(f"'{name}'" for name in names)
    return f"the parameter {quoted}" if len(names) == 1 else f"the parameters {quoted}"


def _local_path(where: str, name: str, value: str) -> Path:
    if "://" in value and not value.startswith("file://"):
        raise InvalidProject(
            f"{where}: the parameter '{name}' of type path has the value '{value}'; "
            "addresses are not downloaded.",
            remedy="Download it first, and give the local path.",
        )
    path = Path(value.removeprefix("file://")).expanduser().absolute()
    if not path.exists():
        raise InvalidProject(f"{where}: the parameter '{name}' names '{path}', which is not there.")
    return path


def _fill(where: str, command: str, values: Mapping[str, str]) -> str:
    quoted = {name: shlex.quote(value) for name, value in values.items()}
    try:
        return Formatter().vformat(command, (), quoted)
    except KeyError as error:
        raise InvalidProject(
            f"{where}: the command uses {{{error.args[0]}}}, but no such parameter is declared.",
            remedy="Declare it under 'parameters', or write {{ and }} for literal braces.",
        ) from error
    except (IndexError, ValueError, AttributeError, TypeError) as error:
        raise InvalidProject(
            f"{where}: the command's braces cannot be read: {error}.",
            remedy="Use {name} for a parameter, and {{ and }} for literal braces.",
        ) from error
