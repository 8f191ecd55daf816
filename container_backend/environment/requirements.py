"""Requirements files by pip's rules: includes, constraints, options, one requirement a line.

The format: https://pip.pypa.io/en/stable/reference/requirements-file-format/.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from container_backend.environment.declared import Declared, Line
from container_backend.environment.local_packages import (
    address_in_container,
    is_local,
    is_outside,
    path_in_build,
    path_in_container,
)
from container_backend.environment.options import (
    COLLECTED,
    CONSTRAINTS,
    EDITABLE,
    FIND_LINKS,
    IGNORED,
    INCLUDES,
    INDEX,
    PASSED_ON,
    passed_on,
    split_options,
)
from container_backend.errors import InvalidEnvironment
from container_backend.machine import named_path, read_text, shortened
from container_backend.privileges import Right

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from container_backend.privileges import Permissions

# pip takes a longer line, too, but no such line was ever written by hand or by a tool.
_MOST_CHARACTERS = 100_000
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_COMMENT = re.compile(r"(^|(?<=\s))#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_VCS = re.compile(r"(git|hg|svn|bzr)\+\S+://\S+|(git|hg|svn|bzr)\+\S+@\S+")
_CONDA_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)\s*={1,2}\s*(\d[\w.*]*)(=\S+)?$")


@dataclass
class Requirements:
    """The content of requirements files, with the files that they include.

    Attributes:
        requirements: One requirement or installer option a line.
        constraints: Versions for packages that other requirements need.
        index_url: The index instead of the default one; may contain credentials.
        extra_index_urls: May contain credentials.
        find_links: Addresses of pages with links to packages, or paths in the container of
            folders of the project.
        trusted_hosts: Hosts whose certificates are not checked.
        local: Paths in a build of packages and of folders of packages.
    """

    requirements: list[Line] = field(default_factory=list)
    constraints: list[Line] = field(default_factory=list)
    index_url: str | None = None
    extra_index_urls: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    trusted_hosts: list[str] = field(default_factory=list)
    local: list[str] = field(default_factory=list)


def read_requirements(
    lines: Sequence[Line],
    root: Path,
    permissions: Permissions,
    environ: Mapping[str, str] = os.environ,
) -> Requirements:
    """Read lines of a requirements file, or of ``dependencies:`` in ``python_env.yaml``.

    Args:
        root: The project's folder; ``permissions`` say if files outside of it are read.
        environ: For ``${NAME}``, which pip expands.

    Raises:
        InvalidEnvironment: A file is missing, a line or an option is invalid, or two pins
            contradict each other.
        InvalidProject: The project may not ask for variables of the user.
    """
    found = Requirements()
    reader = _Reader(root, permissions, environ, found)
    for line in lines:
        reader.read_line(line, (), found.requirements)
    _refuse_contradictions(found.requirements)
    return found


def read_requirements_file(file: Path, root: Path) -> Declared:
    """Read a requirements file that is a whole environment."""
    return Declared((Line(f"-r {file.name}", root / "(project)", 1),))


def parse_requirement(line: str) -> Requirement | None:
    """The requirement of a line; None for an option, a path or an address without a name."""
    try:
        return Requirement(line.split(" --", maxsplit=1)[0])
    except InvalidRequirement:
        return None


def lines_of(file: Path, text: str) -> Iterator[Line]:
    """The lines of a file: continuations are joined, comments and blank lines are left out."""
    joined, start = "", 0
    # The empty line ends a continuation at the end of the text.
    for number, raw in enumerate([*text.splitlines(), ""], start=1):
        start = start or number
        is_comment = raw.lstrip().startswith("#")
        if raw.endswith("\\") and not is_comment:
            joined += raw.rstrip("\\")
            continue
        if content := _COMMENT.sub("", joined + ("" if is_comment else raw)).strip():
            yield Line(content, file, start)
        joined, start = "", 0


@dataclass(frozen=True)
class _Reader:
    root: Path
    permissions: Permissions
    environ: Mapping[str, str]
    found: Requirements

    def read_line(self, line: Line, including: tuple[Path, ...], into: list[Line]) -> None:
        """Add the content of a line to ``found``; requirements go ``into`` one of its lists.

        Args:
            including: The files that include this line, outermost first.
        """
        text = self._expanded(line)
        if not text:
            return
        if not text.startswith("-"):
            into.append(replace(line, text=self._requirement(text, line)))
            return
        for option, value in split_options(text, line):
            self._read_option(option, value, line, including, into)

    def _read_option(
        self, option: str, value: str, line: Line, including: tuple[Path, ...], into: list[Line]
    ) -> None:
        if option in INCLUDES:
            target = self.found.constraints if option in CONSTRAINTS else into
            self._read_file(
                _included(value, line, self.root, self.permissions), line, including, target
            )
        elif option in INDEX:
            self.found.index_url = value
        elif option in FIND_LINKS and "://" not in value.removeprefix("file://"):
            self.found.find_links.append(path_in_container(self._local(value, line)))
        elif option in COLLECTED:
            getattr(self.found, COLLECTED[option]).append(value)
        elif option in PASSED_ON:
            into.append(replace(line, text=passed_on(option, value, line)))
        elif option in EDITABLE:
            into.append(replace(line, text=self._editable(value, line)))
        elif option not in IGNORED:
            raise InvalidEnvironment(
                f"{line.where}: the option '{option}' is not supported in a requirements file."
            )

    def _expanded(self, line: Line) -> str:
        """The text without a comment, with the values of variables."""
        if len(line.text) > _MOST_CHARACTERS or _CONTROL.search(line.text):
            raise InvalidEnvironment(
                f"{line.where}: a line of at most {_MOST_CHARACTERS:,} characters is needed, without "
                "control characters."
            )
        text = _COMMENT.sub("", line.text).strip()
        return _VARIABLE.sub(partial(self._value_of, line), text)

    def _value_of(self, line: Line, named: re.Match[str]) -> str:
        """The value of a variable; pip leaves unset variables as they are, too."""
        value = self.environ.get(named[1])
        if value is not None and not self.permissions.allow(Right.VARIABLES):
            wants = f"wants the value of {named[1]} of your environment"
            raise self.permissions.refusal(Right.VARIABLES, line.where, wants)
        return named[0] if value is None else value

    def _read_file(
        self, file: Path, line: Line, including: tuple[Path, ...], into: list[Line]
    ) -> None:
        including = (*including, file)
        if file in including[:-1]:
            circle = " → ".join(path.name for path in including)
            raise InvalidEnvironment(f"{line.where}: the files include each other: {circle}.")
        if not file.is_file():
            raise InvalidEnvironment(
                f"{line.where}: there is no file '{file}'.",
                remedy="Correct the name, or add the file to the project.",
            )
        for inner in lines_of(file, read_text(file, InvalidEnvironment, by_comment=True)):
            self.read_line(inner, including, into)

    def _requirement(self, text: str, line: Line) -> str:
        """The requirement in one canonical spelling, so that spelling does not change the hash."""
        requirement, *options = re.split(r"(?<!\s)\s+(?=--)", text)
        if is_local(requirement, self.root, line.file.parent):
            return self._local_requirement(requirement, line)
        if _VCS.match(requirement) or re.match(r"https?://\S+$", requirement):
            return text
        try:
            parsed = Requirement(requirement)
        except InvalidRequirement as error:
            remedy = None
            if pin := _CONDA_PIN.match(requirement):
                remedy = f"That is conda's way; write '{pin[1]}=={pin[2]}'."
            first = str(error).splitlines()[0]
            raise InvalidEnvironment(
                f"{line.where}: '{shortened(requirement)}' is not a requirement: {shortened(first)}.",
                remedy=remedy,
            ) from error
        if parsed.url and parsed.url.startswith("file:"):
            parsed.url = address_in_container(self._local(parsed.url, line))
        return " ".join([_spell(parsed), *(option.strip() for option in options)])

    def _editable(self, value: str, line: Line) -> str:
        """A package of a repository is installed as any other: there is no checkout to edit."""
        name, at, address = value.partition(" @ ")
        if at and _VCS.match(address.strip()):
            return self._requirement(value, line)
        if not _VCS.match(value):
            requirement = self._local_requirement(value, line)
            # A run has the files of its project alone: what is outside of it is installed.
            return requirement if is_outside(self.found.local[-1]) else f"--editable {requirement}"
        url, _, marker = value.partition(";")
        address, _, fragment = url.strip().partition("#")
        pairs = [pair.partition("=") for pair in fragment.split("&") if pair]
        name = next((text for key, _, text in pairs if key == "egg"), "")
        kept = "&".join(f"{key}={text}" for key, _, text in pairs if key != "egg")
        if name and not parse_requirement(name):
            raise InvalidEnvironment(f"{line.where}: '{name}' is not the name of a package.")
        requirement = f"{name} @ " * bool(name) + address + f"#{kept}" * bool(kept)
        return f"{requirement} ; {marker.strip()}" if marker.strip() else requirement

    def _local_requirement(self, value: str, line: Line) -> str:
        """``./package[extra] ; marker`` → the same with the address in the container."""
        requirement, semicolon, marker = value.partition(";")
        path, bracket, extras = requirement.strip().partition("[")
        address = address_in_container(self._local(path, line))
        return (address + bracket + extras + (f" ; {marker.strip()}" if semicolon else "")).strip()

    def _local(self, value: str, line: Line) -> str:
        """The path in a build; the path becomes part of the environment."""
        relative = path_in_build(
            value, self.root, line.file.parent, self.permissions, where=line.where
        )
        self.found.local.append(relative)
        return relative


def _included(value: str, line: Line, root: Path, permissions: Permissions) -> Path:
    """The file that a line includes; the path is relative to the line's own file, as for pip.

    In a YAML file, the project's folder comes first: MLflow writes these lines into a
    requirements file there (``mlflow.utils.virtualenv._create_virtualenv``).
    """
    value = re.sub(r"^file:(//(?=/))?", "", value)  # conda's users are told to write `-r file:NAME`
    if "://" in value:
        raise InvalidEnvironment(
            f"{line.where}: '{value}' is an address; only files of the project are included.",
            remedy="Put the file into the project.",
        )
    root = root.resolve()
    folders = [line.file.parent]
    if line.file.suffix in {".yaml", ".yml"}:
        folders.insert(0, root)
    candidates = [named_path(value, folder, InvalidEnvironment, line.where) for folder in folders]
    inside = [file for file in candidates if permissions.reaches(file, root)]
    if not inside:
        raise InvalidEnvironment(f"{line.where}: '{value}' is outside of the project '{root}'.")
    return next((file for file in inside if file.is_file()), inside[0])


def _spell(parsed: Requirement) -> str:
    """Our own spelling: ``str(parsed)`` changed between versions of ``packaging``."""
    spelled: str = canonicalize_name(parsed.name)
    if parsed.extras:
        spelled += f"[{','.join(sorted(parsed.extras))}]"
    spelled += ",".join(sorted(str(specifier) for specifier in parsed.specifier))
    if parsed.url:
        spelled += f" @ {parsed.url}"
    return f"{spelled} ; {parsed.marker}" if parsed.marker else spelled


def _refuse_contradictions(lines: Sequence[Line]) -> None:
    """Refuse two different pins of one package, if neither has a marker."""
    pins: dict[str, tuple[str, Line]] = {}
    for line in lines:
        parsed = parse_requirement(line.text)
        if parsed is None:
            continue
        versions = [spec.version for spec in parsed.specifier if spec.operator in {"==", "==="}]
        if parsed.marker or len(versions) != 1 or "*" in versions[0]:
            continue
        known = pins.setdefault(parsed.name, (versions[0], line))
        if known[0] != versions[0]:
            raise InvalidEnvironment(
                f"{line.where}: '{parsed.name}=={versions[0]}' contradicts "
                f"'{parsed.name}=={known[0]}' ({known[1].where}).",
                remedy="Keep one of them.",
            )
