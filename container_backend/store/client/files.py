"""Artifacts in folders of this machine, read and written without following a link.

A path comes from a program. It is walked from the folder of the artifacts, part by part, so that what
lies elsewhere is not reached, whatever another process does meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A file that is being written; listings leave it out.
_PART: Final = ".container-backend-part-"


@dataclass(frozen=True)
class Listed:
    """A file or a folder among artifacts; ``size`` in bytes, None for a folder."""

    path: str
    size: int | None


class WrongPath(ValueError):
    """A path that is not one of an artifact."""


def parts_of(path: str) -> list[str]:
    """The names in a path. Raises WrongPath if one of them leads elsewhere."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts or "\0" in path or any(part.startswith(_PART) for part in parts):
        raise WrongPath(path)
    return parts


def open_file(root: Path, path: str) -> IO[bytes]:
    """Open an artifact. Raises OSError or WrongPath."""
    *folders, name = parts_of(path) or [""]
    with _folder(root, folders) as folder:
        opened = os.fdopen(os.open(name, _FILE, dir_fd=folder), "rb")
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return opened


@contextmanager
def new_file(root: Path, path: str) -> Iterator[IO[bytes]]:
    """Write an artifact, which is there as a whole after the block, or as it was before.

    Raises OSError or WrongPath.
    """
    *folders, name = parts_of(path) or [""]
    with _folder(root, folders, make=True) as folder:
        part = f"{_PART}{uuid.uuid4().hex}"
        try:
            with _unnamed(folder, part) as opened:
                yield opened
                opened.flush()
                with suppress(FileExistsError):  # it has the name already
                    # Of a process that is killed, a file without a name leaves nothing.
                    os.link(f"/proc/self/fd/{opened.fileno()}", part, dst_dir_fd=folder)
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(part, dir_fd=folder)
            raise


def _unnamed(folder: int, part: str) -> IO[bytes]:
    """A new file in a folder: without a name, or named ``part`` where the file system has no such files."""
    try:
        descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
            raise
        descriptor = os.open(part, _NEW, 0o666, dir_fd=folder)
    return os.fdopen(descriptor, "wb")


def list_folder(root: Path, path: str) -> list[Listed]:
    """What is in a folder, or nothing if there is none. Raises WrongPath."""
    try:
        with _folder(root, parts_of(path)) as folder, os.scandir(folder) as entries:
            return sorted(
                (
                    Listed(entry.name, None if entry.is_dir() else entry.stat().st_size)
                    for entry in entries
                    if not entry.is_symlink() and not entry.name.startswith(_PART)
                ),
                key=lambda each: each.path,
            )
    except OSError:
        return []


def remove(root: Path, path: str) -> None:
    """Remove a file, or a folder with all that is in it; none is no error. Raises WrongPath."""
    parts = parts_of(path)
    with suppress(FileNotFoundError):
        if parts:
            with _folder(root, parts[:-1]) as folder:
                _remove(folder, parts[-1])
        else:
            with _folder(root, []) as folder:
                for name in os.listdir(folder):  # noqa: PTH208 a descriptor
                    _remove(folder, name)


def _remove(folder: int, name: str) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    inner = os.open(name, _FOLDER, dir_fd=folder)
    try:
        for each in os.listdir(inner):  # noqa: PTH208 a descriptor
            _remove(inner, each)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)


@contextmanager
def _folder(root: Path, parts: list[str], *, make: bool = False) -> Iterator[int]:
    """The descriptor of a folder below ``root``, which may itself be a link of the user's."""
    if make:
        root.mkdir(parents=True, exist_ok=True)
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=current)
            inner = os.open(part, _FOLDER, dir_fd=current)
            os.close(current)
            current = inner
        yield current
    finally:
        os.close(current)
