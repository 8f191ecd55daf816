"""A project's files → an archive for the container. ``.dockerignore`` is honoured."""

from __future__ import annotations

import errno
import io
import os
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from container_backend.engine import not_ignored
from container_backend.errors import InvalidProject
from container_backend.labels_and_tags import (
    CODE_DIRECTORY,
    HOME_DIRECTORY,
    LAUNCHER_DIRECTORY,
    MARK_DIRECTORY,
)
from container_backend.machine import read_template
from container_backend.project.snapshot import CodeCopy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Buffer

IGNORE_FILE: Final = ".dockerignore"
# What no run needs: histories, caches, environments of this machine, and stores that the
# container reaches at their own path. `!pattern` in .dockerignore brings one back.
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
# Put beside the code, and on the path of every Python program.
LAUNCHER: Final = "sitecustomize.py"
_SPOOL_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class Owner:
    """Whose the files in the container are, by number."""

    uid: int
    gid: int


ROOT: Final = Owner(0, 0)
# The mode of a folder that any user may write to.
FOR_EVERYBODY: Final = 0o1777


def archive_code(
    directory: Path,
    owner: Owner,
    copy: CodeCopy | None = None,
    more: Callable[[], Iterable[tuple[str, IO[bytes]]]] = tuple,
) -> IO[bytes]:
    """A tar of a project's files, the launcher and an empty home folder, to be unpacked at ``/``.

    Args:
        directory: The project.
        owner: Who may write there: the user that the program runs as.
        copy: Takes the files that are sent.
        more: Asked, when that is done, for files beside the code: path and content.

    Returns:
        An open file at its start; in memory while small, on disk otherwise.

    Raises:
        InvalidProject: A file cannot be read.
    """
    spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 the caller's
    try:
        with tarfile.open(fileobj=spool, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for parent in reversed(PurePosixPath(CODE_DIRECTORY).parents[:-1]):
                tar.addfile(folder_entry(str(parent), ROOT))
            tar.addfile(folder_entry(HOME_DIRECTORY, owner))
            tar.addfile(folder_entry(CODE_DIRECTORY, owner))
            tar.addfile(folder_entry(MARK_DIRECTORY, ROOT, FOR_EVERYBODY))
            tar.addfile(folder_entry(LAUNCHER_DIRECTORY, ROOT))
            add_text(tar, f"{LAUNCHER_DIRECTORY}/{LAUNCHER}", read_template(LAUNCHER))
            add_files(tar, directory, owner, copy)
            for path, content in more():
                add_file(tar, path, content)
        size = spool.tell()
        spool.flush()  # a full disk says so now
        spool.seek(0)
        if size <= _SPOOL_BYTES:
            with spool:  # asking for its file's number would write it to a disk
                return io.BytesIO(spool.read())
    except BaseException as error:
        with suppress(OSError):  # what is in its buffer has nowhere to go
            spool.close()
        if isinstance(error, OSError):
            raise unreadable(directory, error) from error
        raise
    return spool


def add_files(
    tar: tarfile.TarFile, directory: Path, owner: Owner, copy: CodeCopy | None = None
) -> None:
    """Add a project's files to a tar that is unpacked at ``/``; ``copy`` takes them as well.

    Raises:
        InvalidProject: A file cannot be read.
    """
    for relative in included_files(directory):
        _add(tar, directory, relative, owner, copy)


def folder_entry(path: str, owner: Owner, mode: int = 0o755) -> tarfile.TarInfo:
    """A folder, by its absolute path."""
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner.uid, owner.gid
    return entry


def add_text(tar: tarfile.TarFile, path: str, text: str) -> None:
    """Add a file of root's, by its absolute path."""
    add_file(tar, path, io.BytesIO(text.encode()))


def add_file(tar: tarfile.TarFile, path: str, content: IO[bytes]) -> None:
    """Add a file that only root may change."""
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.size, entry.mode = content.seek(0, os.SEEK_END), 0o644
    content.seek(0)
    tar.addfile(entry, content)


def _add(
    tar: tarfile.TarFile, directory: Path, relative: str, owner: Owner, copy: CodeCopy | None
) -> None:
    path = directory / relative
    name = f"{CODE_DIRECTORY.lstrip('/')}/{relative}"
    try:
        entry = tar.gettarinfo(path, name)
        if entry is None or not (entry.isreg() or entry.islnk() or entry.isdir() or entry.issym()):
            return  # sockets, pipes and devices are not project files
        if entry.islnk():  # a second name of a file is a file of its own
            entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
        if entry.issym():
            entry.linkname = _link_inside(directory, path)
        entry.uid, entry.gid, entry.uname, entry.gname = owner.uid, owner.gid, "", ""
        entry.mtime = int(entry.mtime)  # as layers of images have it: see container/shared_code.py
        if not entry.isfile():
            if copy is not None:
                copy.take(relative, entry)
            tar.addfile(entry)
            return
        with path.open("rb") as content:
            tar.addfile(entry, content if copy is None else copy.take(relative, entry, content))
    except FileNotFoundError:
        return  # gone since it was listed, as an editor's swap files are
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> InvalidProject:
    """What is said of a file that cannot be put into an archive, or of a disk that is full."""
    if error.errno == errno.ENOSPC:
        return InvalidProject(
            f"The disk is full: the project's files cannot be collected in '{tempfile.gettempdir()}'.",
            remedy=f"Free some space, set TMPDIR, or name what no run needs in {IGNORE_FILE}.",
        )
    return InvalidProject(
        f"The project's file '{path}' cannot be archived: {error.strerror or error}.",
        remedy=f"Make it readable, or name it in {IGNORE_FILE}.",
    )


def _link_inside(directory: Path, path: Path) -> str:
    """The target of a symbolic link, relative, so that it means the same in the container.

    Raises:
        InvalidProject: It is not in the project.
    """
    target = Path(os.path.normpath(path.parent.resolve() / path.readlink()))
    for root in {directory, directory.resolve()}:
        if target.is_relative_to(root):
            return os.path.relpath(target, path.parent.resolve())
    raise InvalidProject(
        f"The project's link '{path}' points out of it, to '{target}', which the container has not.",
        remedy=f"Hand it over as a parameter of type path, or name it in {IGNORE_FILE}.",
    )


def digest_of_code(directory: Path) -> str:
    """What :attr:`CodeCopy.digest` would be if a project was sent.

    Raises:
        InvalidProject: A file cannot be read.
    """
    copy = CodeCopy(keep=False)
    with tarfile.open(fileobj=_Nowhere(), mode="w|") as tar:
        for relative in included_files(directory):
            _add(tar, directory, relative, ROOT, copy)
    return copy.digest


class _Nowhere(io.RawIOBase):
    """Takes what is written, and keeps nothing of it."""

    def write(self, data: Buffer, /) -> int:
        return memoryview(data).nbytes


def check_files(directory: Path) -> None:
    """Make sure that a project can be archived, without reading its files.

    Raises:
        InvalidProject: A file may not be read, or a link points out of the project.
    """
    for relative in included_files(directory):
        path = directory / relative
        try:
            if path.is_symlink():
                _link_inside(directory, path)
            elif path.is_file():
                path.open("rb").close()
        except FileNotFoundError:
            continue  # gone since it was listed
        except OSError as error:
            raise unreadable(path, error) from error


def included_files(directory: Path) -> Iterator[str]:
    """Paths of what is sent, relative to the project, sorted: files, links and folders.

    Raises:
        InvalidProject: ``.dockerignore`` or a folder cannot be read.
    """
    patterns = [*IGNORED_BY_DEFAULT, *_ignore_patterns(directory)]
    try:
        yield from sorted(not_ignored(directory, patterns))
    except OSError as error:
        raise InvalidProject(
            f"The project's folder '{error.filename or directory}' cannot be read: "
            f"{error.strerror}."
        ) from error


def _ignore_patterns(directory: Path) -> list[str]:
    """https://docs.docker.com/build/concepts/context/#dockerignore-files."""
    try:
        text = (directory / IGNORE_FILE).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidProject(f"{directory / IGNORE_FILE}: cannot be read: {error}.") from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
