"""The files of a project that are sent: all but what ``.dockerignore`` and the defaults leave out."""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from container_backend.errors import InvalidProject
from container_backend.machine import read_text
from container_backend.project.ignored import not_ignored, patterns_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_logger = logging.getLogger(__package__)
IGNORE_FILE: Final = ".dockerignore"
# Each pattern is compared with each path.
_MOST_PATTERNS: Final = 2000
# What no run needs: histories, caches, environments of this machine (see `_is_environment`, too), and
# stores that the container reaches at their own path. `!NAME` in .dockerignore brings one back.
IGNORED_BY_DEFAULT: Final = (
    ".git",
    "**/__pycache__",
    "**/*.pyc",
    "**/.ipynb_checkpoints",
    ".venv",
    "mlruns",
    "mlartifacts",
    "mlflow.db",
    "mlflow.db-*",
)
_MOST_NAMED: Final = 3


def unreadable(path: Path, error: OSError) -> InvalidProject:
    """The error for a file that cannot be archived, or for a full disk."""
    if error.errno == errno.ENOSPC:
        return InvalidProject(
            f"The disk is full: the project's files cannot be collected in '{tempfile.gettempdir()}'.",
            remedy=f"Free some space, set TMPDIR, or name what no run needs in {IGNORE_FILE}.",
        )
    return InvalidProject(
        f"The project's file '{path}' cannot be archived: {error.strerror or error}.",
        remedy=f"Make it readable, or name it in {IGNORE_FILE}.",
    )


def link_inside(directory: Path, path: Path) -> str:
    """The target of a symbolic link, relative, so that it is the same file in the container.

    Raises:
        InvalidProject: The target is not in the project.
    """
    target = Path(os.path.normpath(path.parent.resolve() / path.readlink()))
    for root in {directory, directory.resolve()}:
        if target.is_relative_to(root):
            return os.path.relpath(target, path.parent.resolve())
    raise InvalidProject(
        f"The project's link '{path}' points out of it, to '{target}', which the container lacks.",
        remedy=f"Pass the target as a parameter of type path, or name the link in {IGNORE_FILE}.",
    )


def check_files(directory: Path) -> None:
    """Check that a project can be archived, without reading its files; a warning names dead links.

    Raises:
        InvalidProject: A file may not be read, or a link points out of the project.
    """
    included = list(included_files(directory))
    sent = {str(each) for path in map(PurePosixPath, included) for each in (path, *path.parents)}
    dead = []
    for relative in included:
        path = directory / relative
        try:
            if path.is_symlink():
                link_inside(directory, path)
                if _is_left_out(target := Path(os.path.realpath(path)), directory.resolve(), sent):
                    dead.append(f"'{relative}' (to '{target}')")
            elif path.is_file():
                path.open("rb").close()
        except FileNotFoundError:
            continue  # gone since it was listed
        except OSError as error:
            raise unreadable(path, error) from error
    if dead:
        _logger.warning(
            "%s: what these links lead to is left out, and the program does not find it: %s%s. Name the "
            "files with '!' in %s, or pass them as parameters of type path",
            *(directory, ", ".join(dead[:_MOST_NAMED])),
            *(f" and {len(dead) - _MOST_NAMED} more" * (len(dead) > _MOST_NAMED), IGNORE_FILE),
        )


def _is_left_out(target: Path, root: Path, sent: Collection[str]) -> bool:
    """True for the target of a link that is not sent: both resolved.

    One that is not there either is no loss, but for the files of git-annex, which are in ``.git``.
    """
    if not target.is_relative_to(root):
        return True
    relative = target.relative_to(root)
    is_lost = os.path.lexists(target) or relative.parts[:1] == (".git",)
    return is_lost and relative.as_posix() not in sent


def included_files(directory: Path) -> Iterator[str]:
    """Paths of what is sent, relative to the project, sorted: files, links and folders.

    Raises:
        InvalidProject: ``.dockerignore`` or a folder cannot be read.
    """
    try:
        patterns = _ignore_patterns(directory)
        yield from sorted(not_ignored(directory, patterns, IGNORED_BY_DEFAULT, _is_environment))
    except OSError as error:
        raise InvalidProject(
            f"The project's folder '{error.filename or directory}' cannot be read: "
            f"{error.strerror}."
        ) from error
    except ValueError as error:
        raise InvalidProject(f"{directory / IGNORE_FILE}: {error}.") from error


def _is_environment(names: Collection[str]) -> bool:
    """True for the names in the folder of an environment of this machine, made by venv or conda."""
    return "pyvenv.cfg" in names or "conda-meta" in names


def _ignore_patterns(directory: Path) -> list[str]:
    """The patterns of the project, and the file itself, which is part of the code."""
    file = directory / IGNORE_FILE
    if not file.exists():
        return []
    found = patterns_of(read_text(file, InvalidProject))
    if len(found) > _MOST_PATTERNS:
        raise InvalidProject(
            f"{file}: {len(found):,} patterns; at most {_MOST_PATTERNS:,} are used."
        )
    return [*found, f"!{IGNORE_FILE}"]
