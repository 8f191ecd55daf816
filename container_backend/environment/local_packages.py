"""Packages that are files of the project: where they are here, and where in the container."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from container_backend.errors import InvalidEnvironment
from container_backend.naming import CODE_DIRECTORY

_ARCHIVES: Final = (".whl", ".tar.gz", ".zip")


def is_local(requirement: str, *folders: Path) -> bool:
    """Whether a requirement is the path of a package, as pip tells.

    Args:
        requirement: As written, without options.
        folders: What the path may be relative to.
    """
    if requirement.startswith((".", "/", "~", "file:")):
        return True
    path = re.split(r"[@;\[]", requirement, maxsplit=1)[0].strip()
    if path.endswith(_ARCHIVES) and "://" not in requirement:
        return True
    return os.sep in path and any((folder / path).exists() for folder in folders)


def path_in_project(value: str, root: Path, beside: Path, *, where: str) -> str:
    """The path of a file or folder relative to the project's folder; ``.`` for that one.

    Args:
        value: A path or a ``file:`` address, relative to the project's folder, where pip would
            run, or to the folder of the file that names it.
        root: The project's folder.
        beside: The folder of the file that names it.
        where: That file and the line, for messages.

    Raises:
        InvalidEnvironment: It is not there, or not in the project.
    """
    root = root.resolve()
    named = Path(unquote(re.sub(r"^file:(//(?=/))?", "", value)) if "file:" in value else value)
    candidates = [(folder / named).resolve() for folder in (root, beside)]
    path = next((path for path in candidates if path.exists()), candidates[0])
    if not path.is_relative_to(root):
        raise InvalidEnvironment(
            f"{where}: '{value}' is outside of the project '{root}'.",
            remedy="Put the package into the project, or name a released version.",
        )
    if not path.exists():
        raise InvalidEnvironment(f"{where}: there is no '{path}'.")
    return path.relative_to(root).as_posix()


def path_in_container(relative: str) -> str:
    """Where a file or folder of the project is in a build, and in a run."""
    return CODE_DIRECTORY if relative == "." else f"{CODE_DIRECTORY}/{relative}"


def address_in_container(relative: str) -> str:
    """The same as a ``file:`` address."""
    return f"file://{quote(path_in_container(relative))}"
