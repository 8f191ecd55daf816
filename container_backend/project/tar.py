"""Entries of a tar that is unpacked at ``/`` of a container or an image: the same words, the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from container_backend.labels_and_tags import CODE_DIRECTORY, LAUNCHER_DIRECTORY
from container_backend.machine import ONE_TIME, read_template

if TYPE_CHECKING:
    from collections.abc import Iterator

# Put beside the code, and on the path of every Python program.
LAUNCHER: Final = "sitecustomize.py"
_CHUNK_BYTES: Final = 256 * 1024
# What tars end with.
_END: Final = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class Owner:
    """Whose the files in a container are.

    Attributes:
        uid: The user, by number.
        gid: The group, by number.
        shares: Whether every other user may write to them as well.
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
    """The entries between two places of a file: without others, a tar as well.

    Attributes:
        file: A tar. Where it is read next does not matter, and changes.
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

    def digest(self) -> str:
        """``sha256:…`` of the tar: what an engine calls the layer that is made of it (``diff_id``)."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return f"sha256:{digest.hexdigest()}"


def folder_entry(path: str, owner: Owner, mode: int = 0o755) -> tarfile.TarInfo:
    """A folder, by its absolute path."""
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, mode, ONE_TIME
    owner.own(entry)
    return entry


def add_text(tar: tarfile.TarFile, path: str, text: str) -> None:
    """Add a file of root's, by its absolute path."""
    add_file(tar, path, io.BytesIO(text.encode()))


def add_file(tar: tarfile.TarFile, path: str, content: IO[bytes]) -> None:
    """Add a file that only root may change."""
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.size, entry.mode, entry.mtime = content.seek(0, os.SEEK_END), 0o644, ONE_TIME
    content.seek(0)
    tar.addfile(entry, content)


def add_parents(tar: tarfile.TarFile) -> None:
    """Add the folders that the folder of the code is in."""
    for parent in reversed(PurePosixPath(CODE_DIRECTORY).parents[:-1]):
        tar.addfile(folder_entry(str(parent), ROOT))


def add_launcher(tar: tarfile.TarFile) -> None:
    """Add what every Python program in the container loads first."""
    tar.addfile(folder_entry(LAUNCHER_DIRECTORY, ROOT))
    add_text(tar, f"{LAUNCHER_DIRECTORY}/{LAUNCHER}", read_template(LAUNCHER))
