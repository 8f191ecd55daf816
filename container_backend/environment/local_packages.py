"""Packages that are files of the project, or beside it: their paths on this machine and in the container.

A build has the files of the project at the path of its code. ``../lib``, from outside of the project, is there
as ``.outside/1/lib``: the number is that of the folders upwards.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from container_backend.errors import InvalidEnvironment
from container_backend.labels_and_tags import CODE_DIRECTORY
from container_backend.machine import hash_file, named_path, shortened
from container_backend.project import included_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.machine import Content
    from container_backend.privileges import Permissions

OUTSIDE: Final = ".outside"
_ARCHIVES: Final = (".whl", ".tar.gz", ".zip")
_BUILDS: Final = ("pyproject.toml", "setup.py")


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
    return os.sep in path and any(os.path.exists(folder / path) for folder in folders)  # noqa: PTH110 of any length


def path_in_build(
    value: str, root: Path, beside: Path, permissions: Permissions, *, where: str
) -> str:
    """The path of a file or folder among the project's files in a build; ``.`` for the project's folder.

    Args:
        value: A path or a ``file:`` address, relative to ``root`` (where pip would run) or to
            ``beside`` (the folder of the file that names it).
        where: File and line, for messages.

    Raises:
        InvalidEnvironment: The path does not exist, or the project may not reach it.
    """
    root = root.resolve()
    named = unquote(re.sub(r"^file:(//(?=/))?", "", value)) if "file:" in value else value
    candidates = [named_path(named, folder, InvalidEnvironment, where) for folder in (root, beside)]
    if is_outside(inside := PurePosixPath(named).as_posix()):  # as a lock has it
        candidates = [place_of(inside, root)]
    path = next((path for path in candidates if path.exists()), candidates[0])
    if not permissions.reaches(path, root):
        raise InvalidEnvironment(
            f"{where}: '{shortened(value)}' is outside of the project '{root}'.",
            remedy="Put the package into the project, or name a released version.",
        )
    if not path.exists():
        raise InvalidEnvironment(f"{where}: there is no '{path}'.")
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    parts = Path(os.path.relpath(path, root)).parts
    upwards = parts.count("..")
    return PurePosixPath(OUTSIDE, str(upwards), *parts[upwards:]).as_posix()


def is_outside(relative: str) -> bool:
    """True for a path in a build whose file is not in the project."""
    return re.match(rf"{re.escape(OUTSIDE)}/\d+(/|$)", relative) is not None


def place_of(relative: str, root: Path) -> Path:
    """The file or folder of a path in a build."""
    if not is_outside(relative):
        return root / relative
    _, upwards, *parts = relative.split("/")
    return root.joinpath(*[".."] * min(int(upwards), len(root.parts)), *parts).resolve()


def path_in_container(relative: str) -> str:
    """The path of a project's file or folder in builds and in runs."""
    return CODE_DIRECTORY if relative == "." else f"{CODE_DIRECTORY}/{relative}"


def address_in_container(relative: str) -> str:
    """:func:`path_in_container` as a ``file:`` address."""
    return f"file://{quote(path_in_container(relative))}"


def project_files(
    root: Path, wanted: Sequence[str], permissions: Permissions
) -> dict[str, Content]:
    """The content of files and folders, without what the ``.dockerignore`` in their project leaves out.

    Args:
        root: The project's folder.
        wanted: Paths in a build; ``.`` for all of the project.

    Returns:
        Path in a build → content.

    Raises:
        InvalidEnvironment: A file cannot be read, ``.dockerignore`` leaves out a wanted path, or a folder
            outside of the project has no package.
    """
    root = root.resolve()
    found: dict[str, Content] = {}
    own = [name for name in wanted if not is_outside(name)]
    included = [path for path in included_files(root) if (root / path).is_file()] if own else []
    for name in wanted:
        if name not in own:
            found |= _outside(name, place_of(name, root), root, permissions)
            continue
        inside = [path for path in included if name in {".", path} or path.startswith(f"{name}/")]
        if not inside:
            raise InvalidEnvironment(
                f"'{root / name}' is to be installed, but .dockerignore leaves it out.",
                remedy=f"Add a line '!{name}' to it.",
            )
        for path in inside:
            if not Path(os.path.realpath(root / path)).is_relative_to(root):
                raise _leads_outside(root / path)
            found[path] = _content(root / path)
    return dict(sorted(found.items()))


def _outside(name: str, place: Path, root: Path, permissions: Permissions) -> dict[str, Content]:
    """The files of a package, or the packages in a folder: nothing else is taken from out there."""
    if _is_archive(place):
        return {name: _content(place)}
    if any((place / file).is_file() for file in _BUILDS):
        paths = [path for path in included_files(place) if (place / path).is_file()]
    else:
        paths = [each.name for each in place.glob("*") if each.suffix and _is_archive(each)]
    paths = [path for path in paths if not _is_hidden(path)]
    if not paths:
        raise InvalidEnvironment(
            f"'{place}', outside of the project '{root}', is to be installed, but is no package.",
            remedy=f"A package is a wheel, an archive, or a folder with {' or '.join(_BUILDS)}.",
        )
    for path in paths:
        real = Path(os.path.realpath(place / path))
        inside = real.is_relative_to(place) and not _is_hidden(str(real.relative_to(place)))
        if not (inside or permissions.reaches(real, root)):
            raise _leads_outside(place / path)
    return {f"{name}/{path}": _content(place / path) for path in paths}


def _is_archive(file: Path) -> bool:
    return file.name.endswith(_ARCHIVES) and file.is_file()


def _is_hidden(path: str) -> bool:
    """True for what no package is made of: settings and logins of the user (``.env``, ``.ssh``)."""
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def _leads_outside(file: Path) -> InvalidEnvironment:
    return InvalidEnvironment(
        f"'{file}' is to be installed, but leads to a file outside of the project."
    )


def _content(file: Path) -> Content:
    try:
        return hash_file(file)
    except OSError as error:
        raise InvalidEnvironment(
            f"'{file}' is to be installed, but cannot be read: {error.strerror}."
        ) from error
