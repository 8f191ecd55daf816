"""Projects whose programs start others as steps, and the command of such a step."""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from container_backend.labels_and_tags import DOWNLOADS_DIRECTORY, LAUNCHER_DIRECTORY
from container_backend.project.command import compute_command
from container_backend.project.files import included_files
from container_backend.project.parameters import is_address, without_file_scheme

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.project.command import Command
    from container_backend.project.entry_points import EntryPoint, Project

# What a line has that starts a step, or makes that possible by another name. A comment counts, too: to
# be wrong costs a volume and a process.
_STARTS: Final = re.compile(
    rb"\bmlflow(?:\.projects)?\.run\b|\bmlflow\s+run\b|\bmlflow\.projects\b"
    rb"|[\"']mlflow[\"'],\s*[\"']run[\"']|\bgetattr\(\s*mlflow\b"
    rb"|\bimport\s+mlflow\s+as\b|\bfrom\s+mlflow\s+import\b[^\n#]*\b(?:run|projects)\b"
)
_CODE: Final = frozenset({".py", ".sh", ".bash", ".r", ".ipynb"})
_MOST_BYTES: Final = 4 * 1024 * 1024
_MLPROJECT: Final = "mlproject"
_DOWNLOAD: Final = (
    f'"$(command -v python || command -v python3)" {LAUNCHER_DIRECTORY}/container_backend_steps.py'
)


def sub_projects(directory: Path) -> list[str]:
    """The folders below a project that are projects themselves, relative and sorted."""
    paths = map(PurePosixPath, included_files(directory))
    return sorted({str(path.parent) for path in paths if _is_of_sub_project(path)})


def _is_of_sub_project(path: PurePosixPath) -> bool:
    return path.name.lower() == _MLPROJECT and len(path.parts) > 1


def may_start_steps(project: Project) -> bool:
    """True if the program of a project may call ``mlflow.run``: by its sub-projects and its code."""
    commands = [each.command for each in project.entry_points.values()]
    if _STARTS.search("\n".join(commands).encode("utf-8", "surrogatepass")):
        return True
    for relative in included_files(project.directory):
        path = PurePosixPath(relative)
        if _is_of_sub_project(path):
            return True
        if path.suffix.lower() in _CODE and _mentions(project.directory / relative):
            return True
    return False


def _mentions(file: Path) -> bool:
    try:
        if not file.is_file():
            return False
        with file.open("rb") as opened:
            return _STARTS.search(opened.read(_MOST_BYTES)) is not None
    except OSError:  # another part says that the file cannot be read
        return False


def step_command(
    project: Project, entry_point: EntryPoint, values: Mapping[str, object], folder: str
) -> Command:
    """As :func:`compute_command`, for a step: its paths are those of the container.

    What a path parameter names by an address is downloaded by the step, before its command.

    Args:
        folder: Relative paths are relative to this folder of the container.

    Raises:
        InvalidProject: As :func:`compute_command`.
    """
    parameters, given = dict(entry_point.parameters), dict(values)
    logged: dict[str, str] = {}
    downloads = []
    for name, parameter in entry_point.parameters.items():
        value = str(values.get(name, parameter.default or ""))
        if parameter.type != "path" or not value:
            continue
        parameters[name] = replace(parameter, type="string")
        logged[name] = value
        if is_address(value):
            last = PurePosixPath(urlsplit(value).path).name or name
            target = f"{DOWNLOADS_DIRECTORY}/{name}/{last}"
            downloads += [value, target]
        else:
            target = posixpath.normpath(posixpath.join(folder, without_file_scheme(value)))
        given[name] = target
    command = compute_command(
        project, replace(entry_point, parameters=parameters), given, Path(DOWNLOADS_DIRECTORY)
    )
    line = command.line
    if downloads:
        line = f"{_DOWNLOAD} {shlex.join(downloads)} && {{ {line}\n}}"
    return replace(command, line=line, parameters={**command.parameters, **logged})
