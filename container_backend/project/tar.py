"""Tar entries for ``/`` of a container or an image: equal input, equal bytes."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Final, cast

from container_backend.labels_and_tags import CODE_DIRECTORY, LAUNCHER_DIRECTORY, NOT_REACHED
from container_backend.machine import ONE_TIME, read_template

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import TracebackType

    from typing_extensions import Self

# On the path of every Python program in the container, which loads the first.
LAUNCHER: Final = ("sitecustomize.py", "container_backend_steps.py")
_CHUNK_BYTES: Final = 256 * 1024
_IN_MEMORY_BYTES: Final = 16 * 1024 * 1024
# What tars end with.
_END: Final = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class Owner:
    """The owner of files in a container, by number.

    Attributes:
        shares: All users may write to the files.
    """

    uid: int
    gid: int
    shares: bool = False

    def own(self, entry: tarfile.TarInfo) -> None:
        """Give an entry of a tar to the owner, by number alone."""
        entry.uid, entry.gid, entry.uname, entry.gname = self.uid, self.gid, "", ""
        if self.shares:
            runs = entry.isdir() or entry.mode & stat.S_IXUSR
            entry.mode = 0o777 if runs else 0o666


ROOT: Final = Owner(0, 0)
# Of files for a program that may run as any user.
ANYBODY: Final = Owner(0, 0, shares=True)
# The mode of a folder that any user may write to.
FOR_EVERYBODY: Final = 0o1777


@dataclass(frozen=True)
class TarPart:
    """A range of entries in a tar; alone, the range is a tar, too.

    Attributes:
        file: A tar. Its position changes.
        begin: The first byte of the first entry.
        end: The first byte after the last entry.
    """

    file: IO[bytes]
    begin: int
    end: int

    @property
    def size(self) -> int:
        """The size of the tar of these entries alone, in bytes."""
        return self.end - self.begin + len(_END)

    def pieces(self) -> Iterator[bytes]:
        """The tar of these entries alone.

        Raises:
            OSError: The file cannot be read.
        """
        self.file.seek(self.begin)
        left = self.end - self.begin
        while left and (data := self.file.read(min(_CHUNK_BYTES, left))):
            left -= len(data)
            yield data
        yield _END

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` of the tar, which is the ``diff_id`` of its layer; computed once."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True)
class CodeArchive:
    """A tar of a project's files, and then of what is beside them, to be unpacked at ``/``.

    Attributes:
        file: All of it; in memory while small, on disk otherwise.
        code: The project's files. The same files for the same owner make the same bytes.
        beside: What is not code.
        whiteout: The first file whose name deletes another one in a layer; empty for none.
            https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
    """

    file: IO[bytes]
    code: TarPart
    beside: TarPart
    whiteout: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.file.close()

    @property
    def size(self) -> int:
        """In bytes."""
        return self.beside.end

    @property
    def layers(self) -> tuple[TarPart, ...]:
        """The same as layers of an image, the code on top."""
        return self.beside, self.code

    def whole(self) -> IO[bytes]:
        """The file at its start."""
        self.file.seek(0)
        return self.file


def folder_entry(path: str, owner: Owner, mode: int = 0o755) -> tarfile.TarInfo:
    """A folder, by its absolute path."""
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, mode, ONE_TIME
    owner.own(entry)
    return entry


def add_text(tar: tarfile.TarFile, path: str, text: str) -> None:
    """Add a file of root's, by its absolute path."""
    add_file(tar, path, io.BytesIO(text.encode()))


def add_file(tar: tarfile.TarFile, path: str, content: IO[bytes], mode: int = 0o644) -> None:
    """Add a file of root's; by default one that only root may change."""
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.size, entry.mode, entry.mtime = content.seek(0, os.SEEK_END), mode, ONE_TIME
    content.seek(0)
    tar.addfile(entry, content)


def add_mark(tar: tarfile.TarFile, path: str, said: str = NOT_REACHED) -> None:
    """Add the file that the shell empties, as any user, when it is reached."""
    add_file(tar, path, io.BytesIO(said.encode()), 0o666)


def tars_below(packed: IO[bytes], folders: Collection[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """The entries of a tar below each of some folders, as a tar whose paths begin there.

    A folder itself is left out, and so is what is in none of them.

    Raises:
        OSError: A tar cannot be read or written.
    """
    for folder in folders:
        below = cast("IO[bytes]", tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES))  # noqa: SIM115 closed below
        packed.seek(0)
        with below:
            with (
                tarfile.open(fileobj=packed) as whole,
                tarfile.open(fileobj=below, mode="w", format=tarfile.PAX_FORMAT) as part,
            ):
                for entry in whole:
                    path = PurePosixPath("/", entry.name)
                    if path != PurePosixPath(folder) and path.is_relative_to(folder):
                        content = whole.extractfile(entry) if entry.isreg() else None
                        entry.name = str(path.relative_to(folder))
                        entry.pax_headers = {}  # they have the whole path of a long one
                        part.addfile(entry, content)
            below.seek(0)
            yield folder, below


def add_parents(tar: tarfile.TarFile) -> None:
    """Add the folders that the folder of the code is in."""
    for parent in reversed(PurePosixPath(CODE_DIRECTORY).parents[:-1]):
        tar.addfile(folder_entry(str(parent), ROOT))


def add_launcher(tar: tarfile.TarFile) -> None:
    """Add the module that every Python program in the container loads first, and what that needs."""
    tar.addfile(folder_entry(LAUNCHER_DIRECTORY, ROOT))
    for name in LAUNCHER:
        add_text(tar, f"{LAUNCHER_DIRECTORY}/{name}", read_template(name))
