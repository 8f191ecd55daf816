"""The specification of an environment that is built, whatever file declares it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_name

from container_backend.environment.declared import PYTHON_TEMPLATE, own_python
from container_backend.environment.indexes import (
    Indexes,
    machine_indexes,
    project_indexes,
    split_credentials,
)
from container_backend.environment.local_packages import project_files
from container_backend.environment.requirements import parse_requirement, read_requirements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from container_backend.environment.declared import CondaPackages, Declared, Line, Template
    from container_backend.environment.indexes import Login
    from container_backend.environment.requirements import Requirements
    from container_backend.machine import Content

THIS_INTERPRETER: Final = "this interpreter"
_URL: Final = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://[^\s;]+", re.IGNORECASE)


@dataclass(frozen=True)
class EnvironmentSpec:
    """All that is declared about an environment that is built, and nothing else.

    Attributes:
        python: The version wanted: ``3.11``, or exactly ``3.11.7``.
        python_source: The file that names the version, for messages; not part of the environment.
        requirements: Sorted lines for the installer.
        constraints: Sorted lines for the installer.
        indexes: Where packages come from: this machine's settings and the project's.
        installer_indexes: Where the installer itself comes from: this machine's settings alone.
            Not part of the environment.
        conda: What conda installs beneath; None for an environment of Python packages alone.
        system_packages: Names of Debian packages, sorted.
        files: Path in the project → content, of what is installed from the project itself; as
            it was when it was hashed.
        lock: The kind of lock: ``requirements.lock`` (its lines are the requirements),
            ``pylock.toml`` or ``uv.lock`` (among the files); empty for none.
        lock_text: Of a ``pylock.toml``.
        direct: Names of the packages that the project names itself; the others are there because
            of these. Part of the environment only by way of the requirements.
        template: The steps of the build; part of the environment by the text of its file.
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
    template: Template = PYTHON_TEMPLATE


def spec_of(declared: Declared, root: Path) -> EnvironmentSpec:
    """The specification with what the lines include, and this machine's indexes.

    Raises:
        InvalidEnvironment: A requirement cannot be read, or a file is missing.
    """
    requirements = read_requirements(declared.lines, root)
    files = project_files(root, requirements.local)
    return specify(declared, requirements, files, machine_indexes())


def specify(
    declared: Declared,
    requirements: Requirements,
    local: Mapping[str, Content],
    machine: Indexes,
) -> EnvironmentSpec:
    """The one way from what is declared to a specification. Pure.

    Args:
        declared: What a reader gave.
        requirements: Its lines, with what they include.
        local: Path → content of the project's own packages among the requirements.
        machine: The indexes that this machine is set to use.
    """
    logins: list[Login] = []
    wanted = _without_logins(requirements.requirements, logins)
    constraints = _without_logins(requirements.constraints, logins)
    indexes = project_indexes(machine, requirements)
    return EnvironmentSpec(
        python=declared.python or own_python(),
        python_source=declared.source if declared.python else THIS_INTERPRETER,
        requirements=() if declared.lock else wanted,
        constraints=constraints,
        indexes=replace(indexes, logins=(*indexes.logins, *logins)),
        installer_indexes=machine,
        conda=declared.conda,
        files=dict(sorted({**local, **declared.files}.items())),
        lock=declared.lock,
        direct=_names(wanted),
        template=declared.template or PYTHON_TEMPLATE,
    )


def _names(requirements: Sequence[str]) -> tuple[str, ...]:
    """The names in some lines; options and addresses have none."""
    parsed = map(parse_requirement, requirements)
    return tuple(sorted({canonicalize_name(each.name) for each in parsed if each is not None}))


def _without_logins(lines: Sequence[Line], logins: list[Login]) -> tuple[str, ...]:
    """The lines sorted, each once, and the credentials of their addresses apart."""

    def apart(match: re.Match[str]) -> str:
        address, login = split_credentials(match.group())
        if login is not None:
            logins.append(login)
        return address

    return tuple(sorted({_URL.sub(apart, line.text) for line in lines}))
