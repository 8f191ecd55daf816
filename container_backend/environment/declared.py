"""The content of an environment file, as its reader returns it."""

from __future__ import annotations

import logging
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeGuard

from container_backend.errors import InvalidEnvironment
from container_backend.machine import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from container_backend.machine import Content

_logger = logging.getLogger(__package__)
PYTHON_VERSION: Final = re.compile(r"3(\.\d+){0,2}")
# The versions to choose from if the launcher's own is not allowed, newest first.
KNOWN_PYTHONS: Final = tuple(f"3.{minor}" for minor in range(14, 7, -1))


THIS_INTERPRETER: Final = "this interpreter"


@dataclass(frozen=True)
class PythonChoice:
    """Where a Python version comes from, and how to choose another one.

    Attributes:
        version: ``3.11`` or ``3.11.7``.
        source: The file that names it, or ``THIS_INTERPRETER``.
        form: The text that chooses another version, with ``{version}``; empty if unknown.
    """

    version: str
    source: str = THIS_INTERPRETER
    form: str = ""

    @property
    def reason(self) -> str:
        """A sentence on who has chosen."""
        if self.source == THIS_INTERPRETER:
            return (
                f"The project names no version of Python: {self.version} of this "
                "interpreter was taken."
            )
        return f"'{self.source}' asks for Python {self.version}."

    def other(self, version: str) -> str:
        """What to write for another version, as an imperative without a full stop."""
        return (self.form or "Choose Python {version}").replace("{version}", version)


def own_python() -> str:
    """The minor version of the launcher's Python, like ``3.11``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def allowed_python(allows: Callable[[str], bool]) -> str | None:
    """The launcher's minor version if it is allowed, else the newest allowed one.

    Args:
        allows: Takes a version with a patch number.
    """
    # "3.11" means its newest patch release: ">=3.11.4" allows it, and "==3.11.*" too.
    for minor in (own_python(), *KNOWN_PYTHONS):
        if allows(f"{minor}.99") or allows(f"{minor}.0"):
            return minor
    return None


def is_list_of_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def warn_of_unknown_keys(where: object, keys: Iterable[object], known: Sequence[str]) -> None:
    """Name the keys that are ignored, as the tool does that the file is for."""
    for key in keys:
        if key not in known:
            hint = did_you_mean(str(key), known)
            _logger.warning("%s, key '%s': unknown and ignored%s", where, key, hint)


def refuse_unknown_keys(where: object, keys: Iterable[object], known: Sequence[str]) -> None:
    """Raise InvalidEnvironment for the first key that is not a known one."""
    for key in keys:
        if key not in known:
            raise InvalidEnvironment(
                f"{where}: unknown key '{key}'.", remedy=f"Known keys: {', '.join(known)}."
            )


@dataclass(frozen=True)
class Line:
    """A line of a requirements file, with its place for messages."""

    text: str
    file: Path
    number: int

    @property
    def where(self) -> str:
        """``FILE, line N``."""
        return f"{self.file}, line {self.number}"


@dataclass(frozen=True)
class Template:
    """A Dockerfile template in ``templates/``.

    Attributes:
        name: The file. All others extend ``Dockerfile.python.j2``.
        base: The key of the backend config that names the base image.
    """

    name: str
    base: str = "base_image"


# https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/channels.html
# A name, a version and a build: no channel, no address, no other attribute.
_PLAIN_PACKAGE: Final = re.compile(r"[\w.-]+( ?[=<>!~][\w.*,|=<>!~+ -]*)?")
_KNOWN_CHANNELS: Final = frozenset({"conda-forge", "defaults", "nodefaults"})
PYTHON_TEMPLATE: Final = Template("Dockerfile.python.j2")


@dataclass(frozen=True)
class CondaPackages:
    """Channels in their order of precedence, and match specifications."""

    channels: tuple[str, ...]
    packages: tuple[str, ...]

    @property
    def is_of_known_channels(self) -> bool:
        """True if no package is from a channel that the project chose to trust.

        Conda's packages are programs, the interpreter among them, and run when they are installed.
        """
        return set(self.channels) <= _KNOWN_CHANNELS and all(
            _PLAIN_PACKAGE.fullmatch(package) for package in self.packages
        )


@dataclass(frozen=True)
class Declared:
    """The content of one environment file, without the files that it includes.

    Attributes:
        lines: The syntax is that of a requirements file.
        python: ``3.11`` or ``3.11.7``; None for the launcher's version.
        source: The file that names the Python version, for messages.
        python_form: What to write for another version (:class:`PythonChoice`).
        files: Path in the project → content; build steps find the files in ``project/``.
        lock: The name of the lock among ``files`` that replaces ``lines``; empty for none.
        template: None for the template of the file's kind.
    """

    lines: tuple[Line, ...] = ()
    python: str | None = None
    source: str = ""
    python_form: str = ""
    conda: CondaPackages | None = None
    files: Mapping[str, Content] = field(default_factory=dict, repr=False)
    lock: str = ""
    template: Template | None = None


@dataclass(frozen=True)
class DockerEnvironment:
    """A ready image that the project names.

    Attributes:
        where: File and key, for messages.
        volumes: The syntax is that of ``docker run --volume``.
        variables: ``NAME=value``, or ``NAME`` for the launcher's own value.
    """

    image: str
    where: str
    volumes: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
