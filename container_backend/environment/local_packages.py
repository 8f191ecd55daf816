"""Packages that are files of the project: where they are here, and where in the container."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from container_backend.errors import InvalidEnvironment
from container_backend.labels_and_tags import CODE_DIRECTORY
from container_backend.machine import hash_file
from container_backend.project import included_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from container_backend.machine import Content

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


def project_files(root: Path, wanted: Iterable[str]) -> dict[str, Content]:
    """The content of files of a project, and of all files in folders of it.

    Args:
        root: The project's folder.
        wanted: Paths in it; ``.`` for everything. What ``.dockerignore`` leaves out is left out.

    Raises:
        InvalidEnvironment: A file cannot be read, or is left out.
    """
    names = list(wanted)
    if not names:
        return {}
    included = [path for path in included_files(root) if (root / path).is_file()]
    found: dict[str, Content] = {}
    for name in names:
        inside = [path for path in included if name in {".", path} or path.startswith(f"{name}/")]
        if not inside:
            raise InvalidEnvironment(
                f"'{root / name}' is to be installed, but .dockerignore leaves it out.",
                remedy=f"Add a line '!{name}' to it.",
            )
        for path in inside:
            try:
                found[path] = hash_file(root / path)
            except OSError as error:
                raise InvalidEnvironment(
                    f"'{root / path}' is to be installed, but cannot be read: {error.strerror}."
                ) from error
    return dict(sorted(found.items()))
