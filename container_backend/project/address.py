"""The address of a project, taken apart by the rules of ``mlflow.projects.utils``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from container_backend.errors import InvalidProject

# What can only be an address: `https://…`, `ssh://…`, `git@host:user/project.git`.
_ADDRESS: Final = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://|[^/\\\s]+@[^/\\\s]+:", re.IGNORECASE)
_FILE: Final = re.compile(r"file://.")
_ZIP: Final = re.compile(r".+\.zip$")


@dataclass(frozen=True)
class Address:
    """Where a project is.

    Attributes:
        location: A folder, a file, ``file://``, git or HTTP address.
        subdirectory: Of the project in it; empty for all of it.
    """

    location: str
    subdirectory: str

    @property
    def path(self) -> Path:
        """The location on this machine; missing for an address of elsewhere."""
        return Path(file_path(self.location))

    @property
    def is_zip(self) -> bool:
        """True for a zip file, by its name."""
        return _ZIP.match(self.location) is not None

    @property
    def is_elsewhere(self) -> bool:
        """True for what can be no path of this machine."""
        return _ADDRESS.match(self.location) is not None


def parse_address(uri: str) -> Address:
    """Split the text that a user gives for a project.

    Raises:
        InvalidProject: The subdirectory has a dot in it, which MLflow refuses.
    """
    location, _, subdirectory = uri.strip("'\"").partition("#")
    if "." in subdirectory:
        raise InvalidProject(f"The subdirectory '{subdirectory}' of '{uri}' has a '.' in it.")
    return Address(location, subdirectory)


def file_path(location: str) -> str:
    """The path of a ``file://`` address; everything else as it is."""
    if not _FILE.match(location):
        return location
    parts = urlsplit(location)
    return parts.path or parts.netloc


def is_git_address(uri: str) -> bool:
    """Whether a text can only be the address of a project elsewhere, and not an option of git's."""
    return _ADDRESS.match(uri) is not None and not uri.startswith("-")
