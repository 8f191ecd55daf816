"""The specification of an environment that is built; the same for every kind of file."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from container_backend.environment.declared import (
    PYTHON_TEMPLATE,
    THIS_INTERPRETER,
    PythonChoice,
    own_python,
)
from container_backend.environment.indexes import (
    Indexes,
    machine_indexes,
    project_indexes,
    split_credentials,
)
from container_backend.environment.known import unsaid_needs
from container_backend.environment.local_packages import is_outside, place_of, project_files
from container_backend.environment.requirements import parse_requirement, read_requirements
from container_backend.errors import InvalidEnvironment
from container_backend.machine import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from container_backend.environment.declared import CondaPackages, Declared, Line, Template
    from container_backend.environment.indexes import Login
    from container_backend.environment.requirements import Requirements
    from container_backend.machine import Content
    from container_backend.privileges import Permissions

_logger = logging.getLogger(__package__)
_URL: Final = re.compile(r"(?<![a-z0-9+.-])(?!file:)[a-z][a-z0-9+.-]*://[^\s;]+", re.IGNORECASE)


@dataclass(frozen=True)
class EnvironmentSpec:
    """The whole declaration of an environment that is built; hashed unless an attribute says not.

    Attributes:
        python: ``3.11``, or exactly ``3.11.7``.
        python_source: The file that names the version, for messages; not hashed.
        python_form: What to write for another version, for messages; not hashed.
        requirements: Sorted lines for the installer.
        constraints: Sorted lines for the installer.
        indexes: The indexes of this machine's settings and of the project; only addresses are
            hashed.
        installer_indexes: Where the installer comes from: this machine's settings alone. Not
            hashed.
        system_packages: Names of Debian packages, sorted.
        fetches_python: The base image lacks the Python; uv fetches it.
        python_settings: Where uv fetches it, as a ``uv.toml``: of this machine, not hashed.
        finds_libraries: Debian packages with the libraries that the packages lack are installed.
        exclude_newer: Only files that were uploaded before that time count; empty for all.
        files: Path in the project → content, for packages that are installed from the project.
        lock: ``requirements.lock`` (its lines are the requirements), ``pylock.toml`` or
            ``uv.lock`` (one of the files); empty for none.
        lock_text: The text of a ``pylock.toml``.
        direct: Canonical names of the packages that the project names; the others are their
            dependencies. Not hashed.
        template: Hashed by its text.
    """

    python: str
    python_source: str
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    indexes: Indexes = field(default_factory=Indexes)
    installer_indexes: Indexes = field(default_factory=Indexes)
    conda: CondaPackages | None = None
    system_packages: tuple[str, ...] = ()
    fetches_python: bool = False
    python_settings: str = field(default="", repr=False)
    finds_libraries: bool = False
    exclude_newer: str = ""
    files: Mapping[str, Content] = field(default_factory=dict, repr=False)
    lock: str = ""
    lock_text: str = field(default="", repr=False)
    direct: tuple[str, ...] = ()
    template: Template = PYTHON_TEMPLATE
    python_form: str = ""

    @property
    def python_choice(self) -> PythonChoice:
        return PythonChoice(self.python, self.python_source, self.python_form)


def spec_of(declared: Declared, root: Path, permissions: Permissions) -> EnvironmentSpec:
    """Read the included files and this machine's index settings, and :func:`specify`."""
    requirements = read_requirements(declared.lines, root, permissions)
    files = project_files(root, requirements.local, permissions)
    if outside := sorted(filter(is_outside, requirements.local)):
        named = ", ".join(str(place_of(path, root)) for path in outside)
        _logger.info("=== Packages from outside of the project: %s ===", named)
    return specify(declared, requirements, files, machine_indexes())


def specify(
    declared: Declared,
    requirements: Requirements,
    local: Mapping[str, Content],
    machine: Indexes,
) -> EnvironmentSpec:
    """The only way to make an environment's specification. Pure.

    Args:
        requirements: The declared lines, with the included files.
        local: Path → content of the requirements that are packages in the project.
        machine: The indexes of this machine's settings.
    """
    logins: list[Login] = []
    wanted = _without_logins(requirements.requirements, logins)
    constraints = _without_logins(requirements.constraints, logins)
    indexes = project_indexes(machine, requirements)
    return EnvironmentSpec(
        python=declared.python or own_python(),
        python_source=declared.source if declared.python else THIS_INTERPRETER,
        python_form=declared.python_form,
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


def with_unsaid_needs(spec: EnvironmentSpec) -> EnvironmentSpec:
    """Add what old packages among the requirements need and do not say, and say so.

    Not for conda's packages, which may have the same in a version of their own.
    """
    if spec.conda is not None:
        return spec
    there, wanted = set(_names(spec.requirements)), dict[str, SpecifierSet]()
    where = _markers(spec.python)
    for line in (*spec.requirements, *spec.constraints):
        parsed = parse_requirement(line)
        if parsed is None or (parsed.marker is not None and not parsed.marker.evaluate(where)):
            continue
        name = canonicalize_name(parsed.name)
        if name in there and all(_is_version(each.version) for each in parsed.specifier):
            wanted[name] = wanted.get(name, SpecifierSet()) & parsed.specifier
    needs = unsaid_needs(wanted)
    for package, added in needs.items():
        _logger.info(
            "=== %s does not work with newer packages: adding %s ===", package, ", ".join(added)
        )
    more = {line for added in needs.values() for line in added}
    return replace(spec, requirements=tuple(sorted({*spec.requirements, *more})))


def _is_version(text: str) -> bool:
    """False for what `===` may name: any text."""
    try:
        Version(text.removesuffix(".*"))
    except InvalidVersion:
        return False
    return True


def _markers(python: str) -> dict[str, str]:
    """What markers are compared with, in an environment of a Python version on Linux."""
    return {
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "extra": "",
    }


def _names(requirements: Sequence[str]) -> tuple[str, ...]:
    """Canonical names; options and addresses have none."""
    parsed = map(parse_requirement, requirements)
    return tuple(sorted({canonicalize_name(each.name) for each in parsed if each is not None}))


def _without_logins(lines: Sequence[Line], logins: list[Login]) -> tuple[str, ...]:
    """Sorted lines without duplicates; credentials in addresses are moved to ``logins``."""

    def apart(match: re.Match[str]) -> str:
        address, login = split_credentials(match.group())
        if login is not None:
            logins.append(login)
        return address

    found = set()
    for line in lines:
        try:
            found.add(_URL.sub(apart, line.text))
        except ValueError as error:
            raise InvalidEnvironment(
                f"{line.where}: '{shortened(line.text)}' has no address: {error}."
            ) from error
    return tuple(sorted(found))
