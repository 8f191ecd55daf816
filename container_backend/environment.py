"""What a project needs installed: python_env.yaml, requirements.txt, or nothing."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import yaml

from container_backend.errors import InvalidEnvironment
from container_backend.indexes import Indexes, machine_indexes, project_indexes, split_credentials
from container_backend.project import describe_yaml_error
from container_backend.requirements import Line, read_requirements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from container_backend.indexes import Login
    from container_backend.project import Project

PYTHON_ENV_FILE = "python_env.yaml"
REQUIREMENTS_FILE = "requirements.txt"
_PYTHON_VERSION = re.compile(r"3(\.\d+){0,2}")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s;]+", re.IGNORECASE)


@dataclass(frozen=True)
class EnvironmentSpec:
    """All that is declared about an environment, and nothing else.

    Attributes:
        python: The version wanted: ``3.11``, or exactly ``3.11.7``.
        python_source: Who said so, for messages; not part of the environment.
        requirements: Sorted lines for the installer.
        constraints: Sorted lines for the installer.
        indexes: Where packages come from: this machine's settings and the project's.
        installer_indexes: Where the installer itself comes from: this machine's settings alone.
            Not part of the environment.
    """

    python: str
    python_source: str
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    indexes: Indexes = field(default_factory=Indexes)
    installer_indexes: Indexes = field(default_factory=Indexes)


def read_environment(project: Project) -> EnvironmentSpec:
    """Read the environment of a project.

    MLflow's order: the file that ``python_env`` names, ``python_env.yaml`` beside the MLproject
    file, and then, which MLflow leaves out, ``requirements.txt`` alone.

    Raises:
        InvalidEnvironment: A file that is not there or says something it may not.
    """
    where = project.file or project.directory
    if len(project.environment) > 1:
        raise InvalidEnvironment(
            f"{where}: {' and '.join(sorted(project.environment))} contradict each other.",
            remedy="Keep one of them.",
        )
    for key in ("conda_env", "docker_env"):
        if key in project.environment:
            raise InvalidEnvironment(
                f"{where}, key '{key}': this kind of environment is not supported yet.",
                remedy="Use python_env with a python_env.yaml, or `--env-manager local`.",
            )
    file = _python_env_file(project)
    if file is not None:
        return _read_python_env(file, project.directory)
    if (project.directory / "conda.yaml").is_file():
        raise InvalidEnvironment(
            f"{project.directory / 'conda.yaml'}: conda environments are not supported yet.",
            remedy=f"Add a {PYTHON_ENV_FILE}; it comes first.",
        )
    if (project.directory / REQUIREMENTS_FILE).is_file():
        include = [Line(f"-r {REQUIREMENTS_FILE}", project.directory / "(project)", 1)]
        return _specify(None, include, project.directory)
    return _specify(None, [], project.directory)


def _python_env_file(project: Project) -> Path | None:
    named = project.environment.get("python_env")
    if named is None:
        default = project.directory / PYTHON_ENV_FILE
        return default if default.is_file() else None
    where = f"{project.file}, key 'python_env'"
    if not isinstance(named, str):
        raise InvalidEnvironment(f"{where}: the name of a file is needed, not '{named}'.")
    file = (project.directory / named).resolve()
    if not file.is_relative_to(project.directory):
        raise InvalidEnvironment(f"{where}: '{named}' is outside of the project.")
    if not file.is_file():
        raise InvalidEnvironment(
            f"{where}: there is no file '{file}'.", remedy="Correct the name, or add the file."
        )
    return file


def _read_python_env(file: Path, root: Path) -> EnvironmentSpec:
    """``python``, ``build_dependencies``, ``dependencies``: the keys that MLflow knows."""
    text = _read(file)
    try:
        # Every scalar as it is written: 3.10 is a version, not the number 3.1.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 builds texts only
    except yaml.YAMLError as error:
        raise InvalidEnvironment(f"{file}: not YAML: {describe_yaml_error(error)}.") from error
    if content in (None, ""):
        content = {}
    if not isinstance(content, dict):
        raise InvalidEnvironment(f"{file}: a mapping (key: value) is needed.")
    known = ("python", "build_dependencies", "dependencies")
    if unknown := [str(key) for key in content if key not in known]:
        raise InvalidEnvironment(
            f"{file}: unknown key '{unknown[0]}'.", remedy=f"Known keys: {', '.join(known)}."
        )
    numbers = _line_numbers(node)
    lines = []
    for key in ("build_dependencies", "dependencies"):
        items = content.get(key) or []
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise InvalidEnvironment(f"{file}, key '{key}': a list of requirements is needed.")
        lines += [
            Line(item, file, number)
            for item, number in zip(items, numbers.get(key, []), strict=False)
        ]
    python = content.get("python") or None
    if python is not None and (
        not isinstance(python, str) or not _PYTHON_VERSION.fullmatch(python)
    ):
        raise InvalidEnvironment(
            f"{file}, key 'python': '{python}' is not a Python version.",
            remedy="Write one like '3.11' or '3.11.7'.",
        )
    return _specify(python, lines, root, source=str(file))


def _line_numbers(node: yaml.Node | None) -> dict[str, list[int]]:
    """Key → the line of each item of its list."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {
        str(key.value): [item.start_mark.line + 1 for item in value.value]
        for key, value in node.value
        if isinstance(value, yaml.SequenceNode)
    }


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidEnvironment(f"{file}: not UTF-8 text.") from error
    except OSError as error:
        raise InvalidEnvironment(f"{file}: cannot be read: {error.strerror}.") from error


def _specify(
    python: str | None, lines: Sequence[Line], root: Path, source: str = ""
) -> EnvironmentSpec:
    read = read_requirements(lines, root)
    logins: list[Login] = []
    requirements = _without_logins(read.requirements, logins)
    constraints = _without_logins(read.constraints, logins)
    machine = machine_indexes()
    indexes = project_indexes(machine, read)
    return EnvironmentSpec(
        python=python or f"{sys.version_info.major}.{sys.version_info.minor}",
        python_source=source if python else "this interpreter",
        requirements=requirements,
        constraints=constraints,
        indexes=replace(indexes, logins=(*indexes.logins, *logins)),
        installer_indexes=machine,
    )


def _without_logins(lines: Sequence[Line], logins: list[Login]) -> tuple[str, ...]:
    """The lines sorted, each once, and the credentials of their addresses apart."""

    def apart(match: re.Match[str]) -> str:
        address, login = split_credentials(match.group())
        if login is not None:
            logins.append(login)
        return address

    return tuple(sorted({_URL.sub(apart, line.text) for line in lines}))
