"""``conda.yaml`` → an environment without conda if the Python index has all of its packages.

The format: https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html
Match specifications of packages:
https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html#package-match-specifications
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from container_backend.environment.declared import (
    PYTHON_TEMPLATE,
    CondaPackages,
    Declared,
    Line,
    Template,
    allowed_python,
    is_list_of_texts,
    own_python,
    warn_of_unknown_keys,
)
from container_backend.environment.known import (
    ADVICE,
    OF_WINDOWS,
    OTHER_NAMES,
    OTHER_VERSIONS,
    PROGRAMS,
    RUNTIMES,
    SAME_ON_THE_INDEX,
    WITH_PYTHON,
)
from container_backend.environment.python_env import line_numbers
from container_backend.errors import InvalidEnvironment
from container_backend.machine import load_mapping, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any

_logger = logging.getLogger(__package__)
CONDA_TEMPLATE: Final = Template("Dockerfile.conda.j2", base="conda_base_image")
_KEYS: Final = ("name", "channels", "dependencies", "prefix", "platforms")
_SPECIFICATION: Final = re.compile(
    r"(?:(?P<channel>[\w./:-]+)::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?P<version>[^\[\]]*)"
)
# `=1.2=build`: this version, in this build.
_BUILT: Final = re.compile(r"={0,2}\s*([0-9][\w.!+]*)=([^=]+)")
_CHANNELS_OF_ALL: Final = frozenset({"", "conda-forge", "defaults", "main", "anaconda", "pytorch"})
# The build of a package that pip has installed, and builds for one kind of hardware.
_FROM_INDEX: Final = re.compile(r"pypi_\d+|<pip>")
_VARIANT: Final = re.compile(r"cuda|cudnn|gpu|cpu|rocm|(?:^|_)cu\d+", re.IGNORECASE)
_PIP: Final = re.compile(r"pip([\s=<>!~].*)?")
_CHANNEL: Final = re.compile(r"[\w.:/@%+~-]+")


@dataclass(frozen=True)
class _Package:
    text: str
    name: str
    version: str
    line: Line
    channel: str = ""


@dataclass(frozen=True)
class _Only:
    """The reason that a package is taken from conda."""

    reason: str


def read_conda_env(file: Path, _root: Path) -> Declared:
    """Read a conda environment file."""
    content, node = load_mapping(file, InvalidEnvironment, texts_only=True)
    warn_of_unknown_keys(file, content, _KEYS)
    items = content.get("dependencies") or []
    if not isinstance(items, list):
        raise InvalidEnvironment(f"{file}, key 'dependencies': a list is needed.")
    numbers = line_numbers(node).get("dependencies", [])
    packages: list[_Package] = []
    lines: list[Line] = []
    for item, number in zip(items, numbers, strict=True):
        if isinstance(item, str):
            packages.append(_package(Line(item, file, number)))
        else:
            lines += _pip_lines(item, Line("pip", file, number))
    python = next((package for package in packages if package.name == "python"), None)
    others = [package for package in packages if package.name not in {"python", "python_abi"}]
    version = _python_version(python)
    source = str(file) if python is not None else ""
    _refuse_windows(others)
    needed = [package for package in others if not _comes_with_python(package)]
    taken = {package.text: _on_the_index(package) for package in needed}
    missing = {text: why for text, why in taken.items() if isinstance(why, _Only)}
    if not missing:
        _warn_of_names(file, taken)
        lines += [Line(str(taken[package.text]), file, package.line.number) for package in needed]
        return Declared(tuple(lines), version, source, template=PYTHON_TEMPLATE)
    _logger.warning(
        "%s: conda (micromamba) is needed for %s",
        *(file, ", ".join(f"{text} ({why.reason})" for text, why in missing.items())),
    )
    wanted = python.text if python and python.version else f"python={version or own_python()}"
    listed = tuple(sorted({wanted, *(other.text for other in others)}))
    return Declared(
        tuple(lines), version, source, conda=CondaPackages(_channels(file, content), listed)
    )


def _warn_of_names(file: Path, taken: Mapping[str, str | _Only]) -> None:
    """Say which packages are taken from the index; pip itself is in every file."""
    said = [
        f"{text} as {requirement}"
        for text, requirement in taken.items()
        if not _PIP.fullmatch(text)
    ]
    if said:
        _logger.warning(
            "%s: taken from the Python index, not from conda: %s", file, ", ".join(said)
        )


def _refuse_windows(packages: Iterable[_Package]) -> None:
    windows = [package for package in packages if OF_WINDOWS.fullmatch(package.name)]
    if windows:
        raise InvalidEnvironment(
            f"{windows[0].line.where}: {', '.join(package.name for package in windows)}: packages of "
            "Windows, which the container does not have.",
            remedy="Leave them out. `conda env export --from-history` writes what you asked for, without "
            "what only one kind of machine has.",
        )


def _comes_with_python(package: _Package) -> bool:
    """True for what every Python brings in its own way.

    Programs and libraries without a build, which an export has, are wanted for themselves.
    """
    if package.name in PROGRAMS and not _BUILT.fullmatch(package.version):
        return False
    return package.name in WITH_PYTHON | PROGRAMS or package.name.startswith(RUNTIMES)


def _channels(file: Path, content: dict[str, Any]) -> tuple[str, ...]:
    listed = content.get("channels") or ["conda-forge"]
    if not is_list_of_texts(listed) or not all(map(_CHANNEL.fullmatch, listed)):
        raise InvalidEnvironment(f"{file}, key 'channels': a list of names or addresses is needed.")
    return tuple(listed)


def _pip_lines(item: object, line: Line) -> list[Line]:
    """``- pip: [requirement, …]``; nothing beneath it is no requirement."""
    listed = item.get("pip") or [] if isinstance(item, dict) and set(item) == {"pip"} else None
    if not is_list_of_texts(listed):
        raise InvalidEnvironment(
            f"{line.where}: a package is needed, or 'pip:' with a list of requirements."
        )
    return [
        Line(text, line.file, line.number + offset) for offset, text in enumerate(listed, start=1)
    ]


def _package(line: Line) -> _Package:
    text = line.text.strip()
    if match := _SPECIFICATION.fullmatch(text):
        name, version = match["name"].lower(), match["version"].strip()
        return _Package(text, name, version, line, match["channel"] or "")
    raise InvalidEnvironment(f"{line.where}: '{shortened(line.text)}' is not a conda package.")


def _on_the_index(package: _Package) -> str | _Only:
    """The package as a requirement, or why only conda is known to have it."""
    built = _BUILT.fullmatch(package.version)
    version, build = (built[1], built[2]) if built else ("", "")
    if _FROM_INDEX.fullmatch(build):  # conda lists what pip has installed
        return f"{package.name}=={version}"
    if package.channel not in _CHANNELS_OF_ALL:  # another channel has another package of that name
        return _Only(f"of the channel '{package.channel}'")
    own = canonicalize_name(package.name)
    name = OTHER_NAMES.get(own, own if own in SAME_ON_THE_INDEX else "")
    if not name:
        return _Only(ADVICE.get(own, "not known to be the same on the Python index"))
    if _VARIANT.search(build):
        return _Only("a build for one kind of hardware")
    if name in OTHER_VERSIONS:
        return name
    found = f"=={version}" if built else _version(package.version)
    return _Only("pip has no such version") if found is None else f"{name}{found}"


def _version(text: str) -> str | None:
    """A version in pip's syntax: ``=1.2`` or ``1.2.*`` → ``==1.2.*``; None for ``1.2|1.3``."""
    if not text:
        return ""
    if exact := re.fullmatch(r"==\s*([\w.!+]+)", text):
        return f"=={exact[1]}"
    if fuzzy := re.fullmatch(r"=?\s*([\w.!+]+?)(\.?\*)?", text):
        return f"=={fuzzy[1]}.*"
    try:
        return str(SpecifierSet(text.replace(" ", "")))
    except InvalidSpecifier:
        return None


def _python_version(package: _Package | None) -> str | None:
    """``3.11`` or ``3.11.7`` if the package names it, else a version of its range."""
    if package is None or not package.version:
        return None
    if match := re.fullmatch(r"={0,2}\s*(3\.\d+(?:\.\d+)?)(\.?\*)?(=.*)?", package.version):
        return match[1]
    any_minor = re.fullmatch(r"={0,2}\s*(\d+)(\.?\*)?", package.version)
    try:
        allowed = SpecifierSet(
            f"=={any_minor[1]}.*" if any_minor else package.version.replace(" ", "")
        )
    except InvalidSpecifier as error:
        raise InvalidEnvironment(
            f"{package.line.where}: '{shortened(package.text)}' is not a version of Python.",
            remedy="Write one like 'python=3.11'.",
        ) from error
    minor = allowed_python(allowed.contains)
    if minor is None:
        raise InvalidEnvironment(
            f"{package.line.where}: no version of Python is '{shortened(package.text)}'."
        )
    return minor
