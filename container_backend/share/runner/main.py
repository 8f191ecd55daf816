"""Run ``docker run IMAGE …``: command line → entry point → command → program."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend import labels_and_tags
from container_backend.errors import ContainerBackendError
from container_backend.machine.log import configure_logging
from container_backend.project.command import compute_command
from container_backend.project.entry_points import entry_point_lines, from_mapping
from container_backend.project.parameters import MISSING
from container_backend.share.runner.arguments import Wanted, find_program, read_arguments
from container_backend.share.runner.downloads import choose_storage, fetch_files
from container_backend.share.runner.process import run_program
from container_backend.share.runner.results import say_where_they_are, with_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from container_backend.project.entry_points import Project

_logger = logging.getLogger("container_backend.runner")
# A file beside the runner; :mod:`container_backend.share.project_image` writes it.
DESCRIPTION: Final = "project.json"
_NO_FILES: Final = "A container has only the files of its image and of volumes: docker run -v …"


def main(arguments: Sequence[str], folder: Path) -> int:
    """Run the program of a command line, and return its exit code.

    Args:
        arguments: The words after the image's name.
        folder: The folder of the runner.
    """
    described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    code = Path(described["code"])
    file = code / described["file"] if described["file"] else None
    project = from_mapping(described["project"], code, file)
    configure_logging()
    try:
        wanted = read_arguments(arguments, project)
        if wanted.help:
            sys.stdout.write(_help(project, wanted, described))
            return 0
        environment = {**described["variables"], **os.environ}
        if wanted.command:
            if wanted.is_guessed:
                name = wanted.command[0]
                _logger.info("=== '%s' is not an entry point: running the command ===", name)
            return run_program(wanted.command, environment)
        return _run_entry_point(project, wanted, described, environment)
    except ContainerBackendError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code


def _run_entry_point(
    project: Project, wanted: Wanted, described: dict[str, Any], environ: Mapping[str, str]
) -> int:
    entry_point = project.entry_point(wanted.entry_point)
    try:
        command = compute_command(
            project, entry_point, wanted.parameters, choose_storage(wanted.storage)
        )
    except ContainerBackendError as error:
        if MISSING in error.message and error.remedy is None:
            raise type(error)(error.message, remedy=_NO_FILES) from error
        raise
    fetch_files(command.downloads)
    environment = with_store(environ, described["store"])
    environment.setdefault("MLFLOW_RUN_CONTEXT", _run_context(entry_point.name, described))
    _logger.info("=== Running command '%s' ===", command.line)
    shell = find_program("bash", environment) or "sh"
    exit_code = run_program([shell, "-c", command.line], environment)
    say_where_they_are(environment)
    return exit_code


def _run_context(entry_point: str, described: dict[str, Any]) -> str:
    """Tags that MLflow sets for the runs of the program, from MLFLOW_RUN_CONTEXT.

    https://mlflow.org/docs/latest/api_reference/python_api/mlflow.environment_variables.html
    """
    return json.dumps({**described["tags"], labels_and_tags.MLFLOW_ENTRY_POINT: entry_point})


def _help(project: Project, wanted: Wanted, described: dict[str, Any]) -> str:
    image = described["image"]
    lines = [
        f"Usage: docker run [DOCKER OPTIONS] {image} [ENTRY_POINT] [-P NAME=VALUE]…",
        f"       docker run [DOCKER OPTIONS] {image} [--] COMMAND [ARGUMENT]…",
        "",
    ]
    if wanted.is_named:
        lines += entry_point_lines([project.entry_point(wanted.entry_point)])
        return "\n".join([*lines, ""])
    title = f" of {project.name}" if project.name else ""
    lines += [
        f"Entry points{title} (default: main), or a .py, .sh or .R file of the project:",
        "",
        *(entry_point_lines(project.entry_points.values()) or ["  none are declared"]),
        "",
        "Options:",
        "  -P NAME=VALUE         Value of a parameter; an undeclared one is passed as --NAME VALUE.",
        "  -e NAME               Entry point to run, even if its name is that of a command.",
        "  --storage-dir FOLDER  Folder for the downloads of path parameters.",
        "  -h, --help            Show this help, or that of an entry point after its name.",
        "",
        "Runs are logged to MLFLOW_TRACKING_URI: docker run -e MLFLOW_TRACKING_URI=…",
    ]
    for expected in described["expects"]:
        lines.append(f"The project expects: docker run {expected}")
    return "\n".join([*lines, ""])
