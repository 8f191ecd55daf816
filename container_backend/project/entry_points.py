"""Entry points, and the project that declares them.

Project images contain this module: it imports only the standard library of Python 3.8 and modules
of which the same holds.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend.errors import InvalidProject
from container_backend.project.parameters import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAIN: Final = "main"
# Interpreters of files that are run without a declared entry point.
# https://mlflow.org/docs/latest/ml/projects/#directory
_INTERPRETERS: Final = {".py": "python", ".sh": "bash", ".R": "Rscript"}


@dataclass(frozen=True)
class EntryPoint:
    """A command and its parameters.

    Attributes:
        name: The declared name, or the name of a file.
        command: A shell command in which ``{name}`` stands for the value of a parameter.
        environment: The environment keys; they replace those of the project.
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
        directory: Absolute path of the folder with the code.
        file: The MLproject file, or None.
        environment: The raw values of ``python_env``, ``conda_env`` and ``docker_env``.
        address: The image that the project was read from; empty for a folder.
    """

    name: str | None
    directory: Path
    file: Path | None
    entry_points: Mapping[str, EntryPoint]
    environment: Mapping[str, Any]
    address: str = ""

    @property
    def where(self) -> str:
        """The name of the project in messages: its image, file or folder."""
        return self.address or str(self.file or self.directory)

    def entry_point(self, name: str) -> EntryPoint:
        """Find a declared entry point, or a ``.py``, ``.sh`` or ``.R`` file.

        Raises:
            InvalidProject: There is neither.
        """
        if name in self.entry_points:
            return self.entry_points[name]
        if (interpreter := self.interpreter_of(name)) is not None:
            return EntryPoint(name, _script_command(interpreter, name))
        import difflib

        known = ", ".join(f"'{known}'" for known in self.entry_points)
        near = difflib.get_close_matches(name, self.entry_points, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InvalidProject(
            f"{self.where}: there is no entry point '{name}', and no .py, .sh or .R file of that name.",
            remedy=f"Declared entry points: {known or 'none'}.{hint}",
        )

    def interpreter_of(self, name: str) -> str | None:
        """The interpreter of a script; None if the project has no such script."""
        interpreter = _INTERPRETERS.get(Path(name).suffix)
        file = (self.directory / name).resolve()
        is_script = interpreter and file.is_file() and self.directory in file.parents
        return interpreter if is_script else None


def _script_command(interpreter: str, name: str) -> str:
    command = f"{interpreter} {shlex.quote(name)}"
    if interpreter == "Rscript":
        # By MLflow's package for R, which reads the parameters. A text of JSON is one of R, too.
        command = f"Rscript -e {shlex.quote(f'mlflow::mlflow_source({json.dumps(name)})')} --args"
    return command.replace("{", "{{").replace("}", "}}")


def as_mapping(project: Project) -> dict[str, Any]:
    """Name and entry points in the form of an MLproject file, without environments."""
    return {
        "name": project.name,
        "entry_points": {
            name: {
                "command": entry_point.command,
                "description": entry_point.description,
                "parameters": {
                    parameter.name: {
                        "type": parameter.type,
                        "default": parameter.default,
                        "description": parameter.description,
                    }
                    for parameter in entry_point.parameters.values()
                },
            }
            for name, entry_point in project.entry_points.items()
        },
    }


def from_mapping(content: Mapping[str, Any], directory: Path, file: Path | None) -> Project:
    """The reverse of :func:`as_mapping`, without checks."""
    entry_points = {}
    for name, declared in content["entry_points"].items():
        parameters = {
            parameter: Parameter(parameter, **values)
            for parameter, values in declared["parameters"].items()
        }
        description = declared["description"]
        entry_points[name] = EntryPoint(name, declared["command"], parameters, {}, description)
    return Project(content["name"], directory, file, entry_points, {})


def entry_point_lines(entry_points: Iterable[EntryPoint]) -> list[str]:
    """Lines of help: each entry point, and a line for each parameter."""
    lines: list[str] = []
    for entry_point in entry_points:
        lines.append(f"  {entry_point.name}")
        if entry_point.description:
            lines.append(f"      {_one_line(entry_point.description)}")
        rows = [_cells(parameter) for parameter in entry_point.parameters.values()]
        lines += [f"      {row}" for row in _columns(rows)]
    return lines


def _cells(parameter: Parameter) -> tuple[str, str, str, str]:
    needed = "needed" if parameter.default is None else f"default: {parameter.default}"
    return (
        f"-P {parameter.name}=…",
        parameter.type,
        _one_line(needed),
        _one_line(parameter.description),
    )


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()  # noqa: B905
        for row in rows
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split())
