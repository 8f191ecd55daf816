"""What the file of an environment says, as its reader gives it back."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from container_backend.machine import Content

PYTHON_VERSION: Final = re.compile(r"3(\.\d+){0,2}")


def own_python() -> str:
    """The minor version of the Python that runs this."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Line:
    """A line of a requirements file and where it stands, for messages."""

    text: str
    file: Path
    number: int

    @property
    def where(self) -> str:
        """``FILE, line N``."""
        return f"{self.file}, line {self.number}"


@dataclass(frozen=True)
class Template:
    """A Dockerfile of ``templates/`` that makes environments.

    Attributes:
        name: The file. Every other one than ``Dockerfile.python.j2`` extends that one.
        base: The key of the backend config that names the image to build on.
    """

    name: str
    base: str = "base_image"


PYTHON_TEMPLATE: Final = Template("Dockerfile.python.j2")


@dataclass(frozen=True)
class CondaPackages:
    """What conda installs: channels in their order of precedence, and match specifications."""

    channels: tuple[str, ...]
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Declared:
    """What one file declares. It holds all that its reader read, but not the files it includes.

    Attributes:
        lines: As of a requirements file.
        python: The version wanted: ``3.11`` or ``3.11.7``; None for this interpreter's.
        source: The file that names the version, for messages.
        conda: What conda installs beneath.
        files: Path in the project → content, for the steps of the build: in ``project/`` there.
        lock: The name of a lock among the files that replaces the lines; empty for none.
        template: For a file that needs other steps than its kind; None for those of its kind.
    """

    lines: tuple[Line, ...] = ()
    python: str | None = None
    source: str = ""
    conda: CondaPackages | None = None
    files: Mapping[str, Content] = field(default_factory=dict, repr=False)
    lock: str = ""
    template: Template | None = None


@dataclass(frozen=True)
class DockerEnvironment:
    """A ready image that the project names.

    Attributes:
        image: Its reference.
        where: File and key, for messages.
        volumes: As for ``docker run --volume``.
        variables: ``NAME=value``, or ``NAME`` for the launcher's own value.
    """

    image: str
    where: str
    volumes: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
