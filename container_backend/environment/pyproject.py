"""``pyproject.toml``, with or without ``uv.lock`` → an environment."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from container_backend.environment.declared import (
    KNOWN_PYTHONS,
    PYTHON_VERSION,
    Declared,
    Line,
    allowed_python,
    is_list_of_texts,
    own_python,
)
from container_backend.environment.requirements import parse_requirement
from container_backend.errors import InvalidEnvironment
from container_backend.machine import kind_of, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
PYPROJECT_FILE: Final = "pyproject.toml"
LOCK_FILE: Final = "uv.lock"
# https://packaging.python.org/en/latest/specifications/name-normalization/#name-format
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_SOURCE: Final = re.compile(r"https?://[^\s${}]+")
_VERSION_FILE: Final = ".python-version"
_POETRY_PYTHON: Final = 'Write `python = "{version}.*"` under [tool.poetry.dependencies] of'
# Longer than any name of a licence; some projects have its whole text here.
_MOST_LICENCE_CHARACTERS: Final = 100
# A lock of a thousand packages has three megabytes.
MOST_LOCK_BYTES: Final = 8 * 1024 * 1024
# A key of so many parts, `a.b.c`: the time to read it grows with the square of their number.
_DEEP_KEY: Final = re.compile(
    r"""(?<![\w."'-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){64}"""
)


def licence_of(directory: Path) -> str:
    """The licence in a project's ``pyproject.toml`` (SPDX); empty for none.

    https://packaging.python.org/en/latest/specifications/pyproject-toml/#license
    """
    file = directory / PYPROJECT_FILE
    project = _load(file).get("project") if file.is_file() else None
    licence = project.get("license") if isinstance(project, dict) else None
    if isinstance(licence, dict):  # the form before PEP 639
        licence = licence.get("text")
    if not isinstance(licence, str) or len(licence) > _MOST_LICENCE_CHARACTERS:
        return ""
    return " ".join(licence.split())


def read_pyproject(file: Path, root: Path) -> Declared | None:
    """Read a ``pyproject.toml``; None for one with settings of tools only.

    A project with a build system is installed itself, editable: programs then import the code of
    the run. As with ``uv sync``, other projects are not installed. Groups and extras are left out.
    A lock that is older than the declaration is refused.
    """
    content = _load(file)
    project = content.get("project")
    if not isinstance(project, dict):
        return _poetry(file, root, content)
    is_package = _is_package(content)
    lines = (Line("-e .", file, 1),) if is_package else _dependencies(file, project)
    wanted = project.get("requires-python")
    declared = Declared(lines, *_python(root, file, wanted, "project.requires-python"))
    lock = root / LOCK_FILE
    if not lock.is_file():
        if not is_package and _tool_uv(content).get("sources"):
            raise InvalidEnvironment(
                f"{file}, key 'tool.uv.sources': sources are honoured with a {LOCK_FILE} only.",
                remedy="Run `uv lock`.",
            )
        return declared
    text = read_text(lock, InvalidEnvironment, MOST_LOCK_BYTES)
    _refuse_old_lock(lock, text, file, project)
    files = {LOCK_FILE: text.encode()}
    if not is_package:
        files[PYPROJECT_FILE] = read_text(file, InvalidEnvironment).encode()
    return replace(declared, files=files, lock=LOCK_FILE)


def read_package(file: Path, _root: Path) -> Declared:
    """A project with a build of setuptools is installed itself, editable: setuptools reads the file."""
    return Declared((Line("-e .", file, 1),))


def _poetry(file: Path, root: Path, content: Mapping[str, Any]) -> Declared | None:
    """Poetry's own table, read by Poetry's library; groups, extras and the lock are left out.

    https://python-poetry.org/docs/pyproject/#dependencies
    """
    tool = content.get("tool")
    table = tool.get("poetry") if isinstance(tool, dict) else None
    listed = table.get("dependencies") if isinstance(table, dict) else None
    if not isinstance(listed, dict) or not isinstance(table, dict):
        return None
    wanted = {str(name): each for name, each in listed.items() if str(name).lower() != "python"}
    for name in wanted:
        if not _NAME.fullmatch(name):
            raise InvalidEnvironment(
                f"{file}, key 'tool.poetry.dependencies': '{name}' is no name."
            )
    lines = [
        Line(_poetry_requirement(file, root, name, constraint), file, _line_of(file, name))
        for name, several in wanted.items()
        for constraint in (several if isinstance(several, list) else [several])
        if not (isinstance(constraint, dict) and constraint.get("optional"))
    ]
    lines += _poetry_sources(file, table.get("source"))
    python = next((each for name, each in listed.items() if str(name).lower() == "python"), None)
    key = "tool.poetry.dependencies.python"
    version, source, form = _python(root, file, _poetry_versions(file, python), key)
    return Declared(tuple(lines), version, source, form or f"{_POETRY_PYTHON} '{file}'")


def _poetry_sources(file: Path, listed: object) -> list[Line]:
    """https://python-poetry.org/docs/repositories/#package-sources."""
    lines = []
    for source in listed if isinstance(listed, list) else []:
        url = source.get("url") if isinstance(source, dict) else None
        if url is None:  # PyPI by its name
            continue
        if not isinstance(url, str) or not _SOURCE.fullmatch(url):
            raise InvalidEnvironment(
                f"{file}, key 'tool.poetry.source.url': {kind_of(url)} is no address."
            )
        if source.get("priority") == "explicit":
            raise InvalidEnvironment(
                f"{file}, key 'tool.poetry.source': '{url}' is for some packages only, which cannot be kept.",
                remedy="Export the environment: `poetry export -o requirements.txt`.",
            )
        lines.append(Line(f"--extra-index-url {url}", file, _line_of(file, url)))
    return lines


def _poetry_requirement(file: Path, root: Path, name: str, constraint: Any) -> str:  # noqa: ANN401 of TOML
    from poetry.core.factory import Factory  # takes 0.1 s, and few projects need it

    try:
        return Factory.create_dependency(name, constraint, root_dir=root).to_pep_508()
    except Exception as error:  # of many kinds
        raise InvalidEnvironment(
            f"{file}, key 'tool.poetry.dependencies.{name}': {kind_of(constraint)} is not a dependency: "
            f"{error}."
        ) from error


def _poetry_versions(file: Path, python: object) -> str | None:
    """``^3.10`` → ``==3.11.*``, if that is the version to take."""
    from poetry.core.constraints.version import Version, parse_constraint

    if python is None:
        return None
    where = f"{file}, key 'tool.poetry.dependencies.python': {kind_of(python)}"
    try:
        allowed = parse_constraint(str(python))
    except ValueError as error:
        raise InvalidEnvironment(f"{where} is not a version.") from error
    minor = allowed_python(lambda version: allowed.allows(Version.parse(version)))
    if minor is None:
        raise InvalidEnvironment(f"{where} allows none of {', '.join(KNOWN_PYTHONS)}.")
    return f"=={minor}.*"


def _load(file: Path) -> dict[str, Any]:
    return parse_toml(file, read_text(file, InvalidEnvironment))


def parse_toml(file: Path, text: str) -> dict[str, Any]:
    """Parse the text of a file; raises InvalidEnvironment if the text is not TOML."""
    if _DEEP_KEY.search(text):
        raise InvalidEnvironment(f"{file}: nested too deeply.")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidEnvironment(f"{file}: not TOML: {error}.") from error


def _tool_uv(content: Mapping[str, Any]) -> Mapping[str, Any]:
    tool = content.get("tool")
    uv = tool.get("uv") if isinstance(tool, dict) else None
    return uv if isinstance(uv, dict) else {}


def _is_package(content: Mapping[str, Any]) -> bool:
    """https://docs.astral.sh/uv/concepts/projects/config/#project-packaging."""
    declared = _tool_uv(content).get("package")
    return bool(declared) if declared is not None else "build-system" in content


def _dependencies(file: Path, project: Mapping[str, Any]) -> tuple[Line, ...]:
    listed = project.get("dependencies", [])
    if not is_list_of_texts(listed):
        raise InvalidEnvironment(f"{file}, key 'project.dependencies': a list is needed.")
    return tuple(Line(item, file, _line_of(file, item)) for item in listed)


def _line_of(file: Path, text: str) -> int:
    lines = read_text(file, InvalidEnvironment).splitlines()
    return next((number for number, line in enumerate(lines, 1) if text in line), 1)


def _python(root: Path, file: Path, declared: object, key: str) -> tuple[str | None, str, str]:
    """The version of ``.python-version``, or one that the value of a key allows.

    Returns:
        The version, its file, and how to choose another one if that is not the way of the kind.
    """
    pinned = root / _VERSION_FILE
    if pinned.is_file():
        version = read_text(pinned, InvalidEnvironment).strip()
        if PYTHON_VERSION.fullmatch(version):
            return version, str(pinned), f"Write `{{version}}` into '{pinned}'"
    if declared is None:
        return None, "", ""
    try:
        allowed = SpecifierSet(str(declared))
    except InvalidSpecifier as error:
        raise InvalidEnvironment(
            f"{file}, key '{key}': '{declared}' is not a version specifier."
        ) from error
    minor = allowed_python(allowed.contains)
    if minor is None:
        raise InvalidEnvironment(
            f"{file}, key '{key}': '{declared}' allows none of {', '.join(KNOWN_PYTHONS)}."
        )
    return (None, "", "") if minor == own_python() else (minor, str(file), "")


def _refuse_old_lock(file: Path, text: str, declaration: Path, project: Mapping[str, Any]) -> None:
    """Raise for a dependency that is newer than the lock: it would silently be left out."""
    try:
        locked = _direct_requirements(parse_toml(file, text))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidEnvironment(f"{file}: not a lock of uv.", remedy="Run `uv lock`.") from error
    if locked is None:
        raise InvalidEnvironment(f"{file}: this project is not in it.", remedy="Run `uv lock`.")
    for line in _dependencies(declaration, project):
        wanted = parse_requirement(line.text)
        if wanted is None:
            raise InvalidEnvironment(f"{line.where}: '{line.text}' is not a requirement.")
        if (canonicalize_name(wanted.name), wanted.specifier) not in locked:
            raise InvalidEnvironment(
                f"{file}: made before '{line.text}' was written into {PYPROJECT_FILE}.",
                remedy="Run `uv lock`.",
            )


def _direct_requirements(lock: Mapping[str, Any]) -> set[tuple[str, SpecifierSet]] | None:
    """What the lock says of the project itself; None if the project is not in the lock."""
    for package in lock.get("package", []):
        source = package.get("source", {})
        if {"virtual", "editable", "directory"} & set(source) and "." in source.values():
            listed = package.get("metadata", {}).get("requires-dist", [])
            return {
                (canonicalize_name(each["name"]), SpecifierSet(each.get("specifier", "")))
                for each in listed
            }
    return None
