"""Packages that are files of the project: their paths on this machine and in the container."""

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
    from collections.abc import Sequence

    from container_backend.machine import Content

_ARCHIVES: Final = (".whl", ".tar.gz", ".zip")


def is_local(requirement: str, *folders: Path) -> bool:
    """True for the path of a package, by pip's rules.

    Args:
        requirement: The text without options.
        folders: The path may be relative to any of them.
    """
    if requirement.startswith((".", "/", "~", "file:")):
        return True
    path = re.split(r"[@;\[]", requirement, maxsplit=1)[0].strip()
    if path.endswith(_ARCHIVES) and "://" not in requirement:
        return True
    return os.sep in path and any((folder / path).exists() for folder in folders)


def path_in_project(value: str, root: Path, beside: Path, *, where: str) -> str:
    """The path of a file or folder relative to the project's folder; ``.`` for that folder.

    Args:
        value: A path or a ``file:`` address, relative to ``root`` (where pip would run) or to
            ``beside`` (the folder of the file that names it).
        where: File and line, for messages.

    Raises:
        InvalidEnvironment: The path does not exist, or is outside of the project.
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
    """The path of a project's file or folder in builds and in runs."""
    return CODE_DIRECTORY if relative == "." else f"{CODE_DIRECTORY}/{relative}"


def address_in_container(relative: str) -> str:
    """:func:`path_in_container` as a ``file:`` address."""
    return f"file://{quote(path_in_container(relative))}"


def project_files(root: Path, wanted: Sequence[str]) -> dict[str, Content]:
    """The content of files and folders of a project, without what ``.dockerignore`` leaves out.

    Args:
        wanted: Paths relative to ``root``; ``.`` for everything.

    Raises:
        InvalidEnvironment: A file cannot be read, or ``.dockerignore`` leaves out a wanted path.
    """
    if not wanted:
        return {}
    included = [path for path in included_files(root) if (root / path).is_file()]
    found: dict[str, Content] = {}
    for name in wanted:
        inside = [path for path in included if name in {".", path} or path.startswith(f"{name}/")]
        if not inside:
            raise InvalidEnvironment(
                f"'{root / name}' is to be installed, but .dockerignore leaves it out.",
                remedy=f"Add a line '!{name}' to it.",
            )
        for path in inside:
            if not Path(os.path.realpath(root / path)).is_relative_to(root.resolve()):
                raise InvalidEnvironment(
                    f"'{root / path}' is to be installed, but leads to a file outside of the project."
                )
            try:
                found[path] = hash_file(root / path)
            except OSError as error:
                raise InvalidEnvironment(
                    f"'{root / path}' is to be installed, but cannot be read: {error.strerror}."
                ) from error
    return dict(sorted(found.items()))
