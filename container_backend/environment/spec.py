"""What an environment is, whatever file said so."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from container_backend.environment.indexes import (
    Indexes,
    machine_indexes,
    project_indexes,
    split_credentials,
)
from container_backend.environment.requirements import read_requirements
from container_backend.errors import InvalidEnvironment
from container_backend.machine import hash_file
from container_backend.project import included_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from container_backend.environment.indexes import Login
    from container_backend.environment.requirements import Line
    from container_backend.machine import Content

PYTHON_VERSION: Final = re.compile(r"3(\.\d+){0,2}")
THIS_INTERPRETER: Final = "this interpreter"
_URL: Final = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://[^\s;]+", re.IGNORECASE)


@dataclass(frozen=True)
class CondaPackages:
    """What conda installs: channels in their order of precedence, and match specifications."""

    channels: tuple[str, ...]
    packages: tuple[str, ...]


@dataclass(frozen=True)
class EnvironmentSpec:
    """All that is declared about an environment that is built, and nothing else.

    Attributes:
        python: The version wanted: ``3.11``, or exactly ``3.11.7``.
        python_source: Who said so, for messages; not part of the environment.
        requirements: Sorted lines for the installer.
        constraints: Sorted lines for the installer.
        indexes: Where packages come from: this machine's settings and the project's.
        installer_indexes: Where the installer itself comes from: this machine's settings alone.
            Not part of the environment.
        conda: What conda installs beneath; None for an environment of Python packages alone.
        system_packages: Names of Debian packages, sorted.
        files: Path in the project → content, of what is installed from the project itself; as
            it was when it was hashed.
        lock: The kind of lock that says it all: ``requirements.lock`` (its lines are the
            requirements), ``pylock.toml`` or ``uv.lock`` (among the files); empty for none.
        lock_text: Of a ``pylock.toml``.
        direct: Names of the packages that the project names itself; the others are there because
            of these. Part of the environment only by way of the requirements.
    """

    python: str
    python_source: str
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    indexes: Indexes = field(default_factory=Indexes)
    installer_indexes: Indexes = field(default_factory=Indexes)
    conda: CondaPackages | None = None
    system_packages: tuple[str, ...] = ()
    files: Mapping[str, Content] = field(default_factory=dict, repr=False)
    lock: str = ""
    lock_text: str = field(default="", repr=False)
    direct: tuple[str, ...] = ()


@dataclass(frozen=True)
class DockerEnvironment:
    """A ready image that the project names itself.

    Attributes:
        image: Its reference.
        where: File and key, for messages.
        volumes: As for ``docker run --volume``.
        variables: ``NAME=value``, or ``NAME`` for the launcher's own.
    """

    image: str
    where: str
    volumes: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


def own_python() -> str:
    """The minor version of the Python that runs this."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def specify(
    root: Path, lines: Sequence[Line], *, python: str | None = None, source: str = ""
) -> EnvironmentSpec:
    """The environment of some requirements.

    Args:
        root: The project's folder.
        lines: As of a requirements file.
        python: The version wanted, or None for this interpreter's minor version.
        source: The file that says so.

    Raises:
        InvalidEnvironment: A requirement that cannot be read, or a file that is not there.
    """
    read = read_requirements(lines, root)
    logins: list[Login] = []
    requirements = _without_logins(read.requirements, logins)
    constraints = _without_logins(read.constraints, logins)
    machine = machine_indexes()
    indexes = project_indexes(machine, read)
    return EnvironmentSpec(
        python=python or own_python(),
        python_source=source if python else THIS_INTERPRETER,
        requirements=requirements,
        constraints=constraints,
        indexes=replace(indexes, logins=(*indexes.logins, *logins)),
        installer_indexes=machine,
        files=project_files(root, read.local),
        direct=_names(requirements),
    )


def _names(requirements: Sequence[str]) -> tuple[str, ...]:
    """The names in some lines; options and addresses have none."""
    found = set()
    for line in requirements:
        try:
            found.add(canonicalize_name(Requirement(line.split(" --")[0]).name))
        except InvalidRequirement:
            continue
    return tuple(sorted(found))


def _without_logins(lines: Sequence[Line], logins: list[Login]) -> tuple[str, ...]:
    """The lines sorted, each once, and the credentials of their addresses apart."""

    def apart(match: re.Match[str]) -> str:
        address, login = split_credentials(match.group())
        if login is not None:
            logins.append(login)
        return address

    return tuple(sorted({_URL.sub(apart, line.text) for line in lines}))


def project_files(root: Path, wanted: Iterable[str]) -> dict[str, Content]:
    """The content of files of a project, and of all files in folders of it.

    Args:
        root: The project's folder.
        wanted: Paths in it; ``.`` for everything. What ``.dockerignore`` leaves out is left out.

    Raises:
        InvalidEnvironment: A file cannot be read, or is left out.
    """
    names = list(wanted)
    if not names:
        return {}
    included = [path for path in included_files(root) if (root / path).is_file()]
    found: dict[str, Content] = {}
    for name in names:
        inside = [path for path in included if name in {".", path} or path.startswith(f"{name}/")]
        if not inside:
            raise InvalidEnvironment(
                f"'{root / name}' is to be installed, but .dockerignore leaves it out.",
                remedy=f"Add a line '!{name}' to it.",
            )
        for path in inside:
            try:
                found[path] = hash_file(root / path)
            except OSError as error:
                raise InvalidEnvironment(
                    f"'{root / path}' is to be installed, but cannot be read: {error.strerror}."
                ) from error
    return dict(sorted(found.items()))
