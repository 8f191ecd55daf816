"""A project's files → a tar for containers and images. ``.dockerignore`` is honoured.

The same files for the same owner make the same bytes: names are sorted, and the time of a file
follows from its content. Caches that compare times, as Python's bytecode, then never take a changed
file for the old one.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final, cast

from container_backend.labels_and_tags import (
    CODE_DIRECTORY,
    HOME_DIRECTORY,
    MARK_DIRECTORY,
    REACHED,
)
from container_backend.machine import ONE_TIME, hash_file
from container_backend.project.files import included_files, link_inside, unreadable
from container_backend.project.snapshot import CodeCopy
from container_backend.project.tar import (
    FOR_EVERYBODY,
    ROOT,
    CodeArchive,
    Owner,
    TarPart,
    add_file,
    add_launcher,
    add_mark,
    add_parents,
    folder_entry,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Buffer

_SPOOL_BYTES: Final = 16 * 1024 * 1024
_WHITEOUT: Final = ".wh."
# Times of files are from 1980 to 1988.
_DIGITS_OF_TIME: Final = 7


def archive_code(
    directory: Path,
    owner: Owner,
    copy: CodeCopy | None = None,
    more: Callable[[], Iterable[tuple[str, IO[bytes]]]] = tuple,
    place: str | None = CODE_DIRECTORY,
) -> CodeArchive:
    """A tar of a project's files, the launcher and an empty home folder.

    Args:
        directory: The project.
        owner: The owner of the files: the user of the program.
        copy: Takes the files that are sent.
        more: Called after that; returns files beside the code: path and content.
        place: The folder of the code in the container; None if its files are there already.

    Raises:
        InvalidProject: A file cannot be read.
    """

    def add_beside(tar: tarfile.TarFile) -> None:
        tar.addfile(folder_entry(HOME_DIRECTORY, owner))
        tar.addfile(folder_entry(MARK_DIRECTORY, ROOT, FOR_EVERYBODY))
        add_mark(tar, REACHED)
        add_launcher(tar)
        folders: set[PurePosixPath] = set()
        for path, content in more():
            for parent in reversed(PurePosixPath(path).parents[:-2]):
                if parent not in folders:
                    folders.add(parent)
                    tar.addfile(folder_entry(str(parent), ROOT))
            add_file(tar, path, content)

    return _archive(directory, owner, copy, add_beside, place)


def archive_of(directory: Path, owner: Owner) -> CodeArchive:
    """A tar of a project's files alone; see :func:`archive_code`."""
    return _archive(directory, owner, None, lambda _tar: None, CODE_DIRECTORY)


def _archive(
    directory: Path,
    owner: Owner,
    copy: CodeCopy | None,
    add_beside: Callable[[tarfile.TarFile], None],
    place: str | None,
) -> CodeArchive:
    spool = cast("IO[bytes]", tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES))  # noqa: SIM115 the caller's
    try:
        with tarfile.open(fileobj=spool, mode="w", format=tarfile.PAX_FORMAT) as tar:
            add_parents(tar)
            whiteout = ""
            if place is not None:
                tar.addfile(folder_entry(place, owner))
                whiteout = _add_files(tar, directory, owner, copy, place)
            elif copy is not None:
                _take(directory, copy)
            middle = spool.tell()
            add_parents(tar)
            add_beside(tar)
            end = spool.tell()
        size = spool.tell()
        spool.flush()  # a full disk says so now
        spool.seek(0)
        file = spool
        if size <= _SPOOL_BYTES:
            with spool:  # asking for its file's number would write it to a disk
                file = io.BytesIO(spool.read())
    except BaseException as error:
        with suppress(OSError):  # what is in its buffer has nowhere to go
            spool.close()
        if isinstance(error, OSError):
            raise unreadable(directory, error) from error
        raise
    return CodeArchive(file, TarPart(file, 0, middle), TarPart(file, middle, end), whiteout)


def _add_files(
    tar: tarfile.TarFile, directory: Path, owner: Owner, copy: CodeCopy | None, place: str
) -> str:
    """Add a project's files, each after its folder, which a layer would hide otherwise.

    Returns:
        The first file whose name is that of a whiteout; empty for none.

    Raises:
        InvalidProject: A file cannot be read.
    """
    folders: set[PurePosixPath] = set()
    whiteout = ""
    for relative in included_files(directory):
        path = PurePosixPath(relative)
        for parent in reversed(path.parents[:-1]):
            if parent not in folders:  # ignored, but not all of its files
                folders.add(parent)
                _add(tar, directory, str(parent), owner, copy, place)
        folders.add(path)
        _add(tar, directory, relative, owner, copy, place)
        if not whiteout and path.name.startswith(_WHITEOUT):
            whiteout = relative
    return whiteout


def _add(
    tar: tarfile.TarFile,
    directory: Path,
    relative: str,
    owner: Owner,
    copy: CodeCopy | None,
    place: str = CODE_DIRECTORY,
) -> None:
    path = directory / relative
    name = f"{place.lstrip('/')}/{relative}"
    try:
        entry = tar.gettarinfo(path, name)
        if entry is None or not (entry.isreg() or entry.islnk() or entry.isdir() or entry.issym()):
            return  # sockets, pipes and devices are not project files
        if entry.islnk():  # a second name of a file is a file of its own
            entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
        if entry.issym():
            entry.linkname = link_inside(directory, path)
        owner.own(entry)
        entry.mtime = ONE_TIME
        if not entry.isfile():
            if copy is not None:
                copy.take(relative, entry)
            tar.addfile(entry)
            return
        entry.mtime = ONE_TIME + int(hash_file(path).digest[:_DIGITS_OF_TIME], 16)
        with path.open("rb") as content:
            tar.addfile(entry, content if copy is None else copy.take(relative, entry, content))
    except FileNotFoundError:
        return  # gone since it was listed, as an editor's swap files are
    except OSError as error:
        raise unreadable(path, error) from error


def digest_of_code(directory: Path) -> str:
    """The digest of a project's code: :attr:`CodeCopy.digest`.

    Raises:
        InvalidProject: A file cannot be read.
    """
    copy = CodeCopy(keep=False)
    _take(directory, copy)
    return copy.digest


def _take(directory: Path, copy: CodeCopy) -> None:
    """Have a copy take a project's files, which are sent nowhere. Raises InvalidProject."""
    with tarfile.open(fileobj=_Nowhere(), mode="w|") as tar:
        for relative in included_files(directory):
            _add(tar, directory, relative, ROOT, copy)


class _Nowhere(io.RawIOBase):
    """Discards what is written."""

    def write(self, data: Buffer, /) -> int:
        return memoryview(data).nbytes
