"""The table of environment kinds: the reader and the template of each file or MLproject key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from container_backend.environment.conda import CONDA_TEMPLATE, read_conda_env
from container_backend.environment.declared import PYTHON_TEMPLATE
from container_backend.environment.docker_env import read_docker_env
from container_backend.environment.pyproject import read_package, read_pyproject
from container_backend.environment.python_env import read_python_env
from container_backend.environment.requirements import read_requirements_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from container_backend.environment.declared import Declared, DockerEnvironment, Template


_PYTHON_ENV: Final = "Write `python: \"{version}\"` into '{file}'"
_CONDA: Final = "Write `- python={version}` under 'dependencies' of '{file}'"
# For files that cannot name a Python.
_BESIDE: Final = (
    'Write a python_env.yaml with `python: "{version}"` and `dependencies: [-r {file}]` beside '
    "MLproject"
)
_PACKAGE: Final = (
    'Write a python_env.yaml with `python: "{version}"` and `dependencies: [-e .]` beside MLproject'
)
_PYPROJECT: Final = "Write `requires-python = \"=={version}.*\"` into '{file}'"


@dataclass(frozen=True)
class FileKind:
    """A kind of file that an image is built from.

    Attributes:
        file: The name to look for, in upper or lower case, if MLproject names no environment.
        read: Takes the file and the project's folder; None if the file declares no environment.
            Raises InvalidEnvironment with file and line.
        key: The key of MLproject that names such a file; empty for none.
        python: How to choose a Python, with ``{version}`` and ``{file}``, as an imperative.
    """

    file: str
    read: Callable[[Path, Path], Declared | None]
    template: Template = PYTHON_TEMPLATE
    key: str = ""
    python: str = _BESIDE

    @property
    def above(self) -> str:
        """What a project writes to use such a file of a folder above, with ``{file}``; empty for nothing."""
        if self.key:
            return f"`{self.key}: {{file}}` into MLproject"
        if self.read is read_requirements_file:
            return "a python_env.yaml with `dependencies: [-r {file}]`"
        return ""


@dataclass(frozen=True)
class ImageKind:
    """A key of MLproject for a ready image; ``read`` takes file and key, and the value."""

    key: str
    read: Callable[[str, object], DockerEnvironment]


# If MLproject names no environment, the first existing file of this table counts: MLflow's order,
# then the files that MLflow does not read: names that conda and people write, other tools' files.
KINDS: Final[tuple[FileKind | ImageKind, ...]] = (
    FileKind("python_env.yaml", read_python_env, key="python_env", python=_PYTHON_ENV),
    FileKind("conda.yaml", read_conda_env, CONDA_TEMPLATE, key="conda_env", python=_CONDA),
    FileKind("requirements.txt", read_requirements_file),
    FileKind("pyproject.toml", read_pyproject, python=_PYPROJECT),
    FileKind("environment.yml", read_conda_env, CONDA_TEMPLATE, python=_CONDA),
    FileKind("environment.yaml", read_conda_env, CONDA_TEMPLATE, python=_CONDA),
    FileKind("conda.yml", read_conda_env, CONDA_TEMPLATE, python=_CONDA),
    FileKind("conda_env.yaml", read_conda_env, CONDA_TEMPLATE, python=_CONDA),
    FileKind("python_env.yml", read_python_env, python=_PYTHON_ENV),
    FileKind("requirement.txt", read_requirements_file),
    FileKind("setup.py", read_package, python=_PACKAGE),
    ImageKind("docker_env", read_docker_env),
)
# Files of environments that are not read.
UNREAD: Final = re.compile(
    r"Pipfile(\.lock)?|pixi\.(toml|lock)|pdm\.lock|environment\.lock|req(uirement)?s?.*\.(txt|in)|"
    r"(conda|env|environment).*\.ya?ml|requirements",
    re.IGNORECASE,
)
ENVIRONMENT_KEYS: Final = tuple(kind.key for kind in KINDS if kind.key)
TEMPLATES: Final = frozenset(kind.template.name for kind in KINDS if isinstance(kind, FileKind))
