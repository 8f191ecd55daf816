"""Parse the address of a project by the rules of ``mlflow.projects.utils``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from container_backend.errors import InvalidProject

# `https://…`, `ssh://…`, `git@host:user/project.git`: an address, never a path.
_ADDRESS: Final = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://|[^/\\\s]+@[^/\\\s]+:", re.IGNORECASE)
_FILE: Final = re.compile(r"file://.")
_ZIP: Final = re.compile(r".+\.zip$")


@dataclass(frozen=True)
class Address:
    """The address of a project.

    Attributes:
        location: A path, or a ``file://``, git or HTTP address.
        subdirectory: The project's folder at the location; empty for the location itself.
    """

    location: str
    subdirectory: str

    @property
    def path(self) -> Path:
        """The location as a path; a missing one for a remote address."""
        return Path(file_path(self.location))

    @property
    def is_zip(self) -> bool:
        """True if the name is that of a zip file."""
        return _ZIP.match(self.location) is not None

    @property
    def is_elsewhere(self) -> bool:
        """True for a remote address."""
        return _ADDRESS.match(self.location) is not None


def parse_address(uri: str) -> Address:
    """Split an address into location and subdirectory.

    Raises:
        InvalidProject: The subdirectory contains a dot, which MLflow refuses.
    """
    location, _, subdirectory = uri.strip("'\"").partition("#")
    if "." in subdirectory:
        raise InvalidProject(f"The subdirectory '{subdirectory}' of '{uri}' contains a '.'.")
    return Address(location, subdirectory)


def file_path(location: str) -> str:
    """The path of a ``file://`` address; another location is returned unchanged."""
    if not _FILE.match(location):
        return location
    parts = urlsplit(location)
    return parts.path or parts.netloc


def is_git_address(uri: str) -> bool:
    """True for a remote address that git does not take for an option."""
    return _ADDRESS.match(uri) is not None and not uri.startswith("-")
