"""Where a project says what it needs installed, and what it says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from container_backend.environment.conda import CONDA_FILE, read_conda_env
from container_backend.environment.docker_env import read_docker_env
from container_backend.environment.lock import find_lock, with_lock
from container_backend.environment.pyproject import is_python_project, read_pyproject
from container_backend.environment.python_env import PYTHON_ENV_FILE, read_python_env
from container_backend.environment.requirements import Line
from container_backend.environment.spec import DockerEnvironment, EnvironmentSpec, specify
from container_backend.errors import InvalidEnvironment
from container_backend.machine import kind_of, read_text

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.config import BackendConfig
    from container_backend.project import EntryPoint, Project

REQUIREMENTS_FILE: Final = "requirements.txt"
APT_FILE: Final = "apt.txt"
_MINOR: Final = "minor"
# https://www.debian.org/doc/debian-policy/ch-controlfields.html#source, and apt's `name=version`.
_SYSTEM_PACKAGE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?")


def read_environment(
    project: Project,
    entry_point: EntryPoint | None,
    config: BackendConfig,
    *,
    locked: bool = True,
) -> EnvironmentSpec | DockerEnvironment:
    """Read the environment of an entry point.

    What the entry point names, what the project names, and then MLflow's order for what is not
    named (``python_env.yaml``, ``conda.yaml``), with what MLflow leaves out after it:
    ``requirements.txt``, ``pyproject.toml``, nothing. A lock comes instead of what is declared.

    Args:
        project: The project.
        entry_point: Which of its entry points; None for the project's own environment.
        config: ``system_packages``, ``python_match`` and ``lock`` are taken from it.
        locked: Whether a lock counts, or what is declared.

    Raises:
        InvalidEnvironment: A file that is not there or says something it may not.
    """
    found = _read(project, entry_point)
    if isinstance(found, DockerEnvironment):
        return found
    if config.python_match == _MINOR:
        found = replace(found, python=".".join(found.python.split(".")[:2]))
    if locked and not found.lock:
        lock = find_lock(project.directory, config.lock)
        found = with_lock(found, lock, project.directory) if lock else found
    return replace(found, system_packages=_system_packages(project, config))


def _read(project: Project, entry_point: EntryPoint | None) -> EnvironmentSpec | DockerEnvironment:
    root = project.directory
    declared, where = project.environment, project.where
    if entry_point is not None and entry_point.environment:
        declared = entry_point.environment
        where = f"{where}, key 'entry_points.{entry_point.name}'"
    if len(declared) > 1:
        raise InvalidEnvironment(
            f"{where}: {' and '.join(sorted(declared))} contradict each other.",
            remedy="Keep one of them.",
        )
    if declared:
        ((key, value),) = declared.items()
        where = f"{where}, key '{key}'"
        if key == "docker_env":
            return read_docker_env(where, value)
        reader = read_python_env if key == "python_env" else read_conda_env
        return reader(_named_file(root, where, value), root)
    return _read_undeclared(root)


def _read_undeclared(root: Path) -> EnvironmentSpec:
    """The environment of a project that names none."""
    if (root / PYTHON_ENV_FILE).is_file():
        return read_python_env(root / PYTHON_ENV_FILE, root)
    if (root / CONDA_FILE).is_file():
        return read_conda_env(root / CONDA_FILE, root)
    if (root / REQUIREMENTS_FILE).is_file():
        return specify(root, [Line(f"-r {REQUIREMENTS_FILE}", root / "(project)", 1)])
    if is_python_project(root):
        return read_pyproject(root)
    return specify(root, [])


def _named_file(root: Path, where: str, value: object) -> Path:
    if not isinstance(value, str):
        raise InvalidEnvironment(f"{where}: the name of a file is needed, not {kind_of(value)}.")
    file = (root / value).resolve()
    if not file.is_relative_to(root):
        raise InvalidEnvironment(f"{where}: '{value}' is outside of the project.")
    if not file.is_file():
        raise InvalidEnvironment(
            f"{where}: there is no file '{file}'.", remedy="Correct the name, or add the file."
        )
    return file


def _system_packages(project: Project, config: BackendConfig) -> tuple[str, ...]:
    """Those of the backend config and of ``apt.txt``, a name a line, ``#`` for comments."""
    named = [(name, "the backend config, key 'system_packages'") for name in config.system_packages]
    file = project.directory / APT_FILE
    if file.is_file():
        for number, line in enumerate(read_text(file, InvalidEnvironment).splitlines(), start=1):
            named += [(name, f"{file}, line {number}") for name in line.partition("#")[0].split()]
    for name, where in named:
        if not _SYSTEM_PACKAGE.fullmatch(name):
            raise InvalidEnvironment(f"{where}: '{name}' is not the name of a Debian package.")
    return tuple(sorted({name for name, _ in named}))
