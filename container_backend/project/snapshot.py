"""The digest of the code that is sent, and a copy for the run's record, made while sending.

The copy is a tar without owners and times, so that the same files give the same bytes. The digest
covers only the files: a checkout of the same commit has the same digest.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final, cast

from container_backend.machine import MOST_FILES, ONE_TIME, FrozenModel, most_unpacked

if TYPE_CHECKING:
    from typing_extensions import Self


_IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
# Code is small, and speed matters more.
_LEVEL: Final = 1


class CodeCopy:
    """Computes the digest and the copy, file by file."""

    def __init__(self, *, keep: bool, most_bytes: int | None = None) -> None:
        """Start without files.

        Args:
            keep: Make a copy; otherwise only the digest.
            most_bytes: The largest size of the uncompressed copy; a larger one is discarded.
        """
        self._left = most_bytes
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._packed: gzip.GzipFile | None = None
        self.is_too_large = False
        self.has_folders = False
        if keep:
            self._file = cast(
                "IO[bytes]",
                tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES),  # noqa: SIM115 kept
            )
            self._packed = gzip.GzipFile(
                filename="", mode="wb", fileobj=self._file, compresslevel=_LEVEL, mtime=0
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._discard()

    @property
    def digest(self) -> str:
        """``sha256:…`` of the paths, contents and execute bits of files, and the targets of links."""
        return f"sha256:{self._digest.hexdigest()}"

    def take(
        self, relative: str, entry: tarfile.TarInfo, content: IO[bytes] | None = None
    ) -> IO[bytes] | None:
        """Add an entry of the archive that is sent.

        Args:
            relative: The path in the project.
            content: The content of a file.

        Returns:
            The content to send; reading it also adds it to digest and copy.
        """
        self.has_folders = self.has_folders or entry.isdir()
        own = tarfile.TarInfo(relative)
        own.type, own.linkname, own.mtime = entry.type, entry.linkname, ONE_TIME
        own.size = entry.size if entry.isreg() else 0
        executable = bool(entry.mode & 0o100)
        own.mode = 0o755 if executable or entry.isdir() else 0o644
        self._write(own.tobuf(tarfile.PAX_FORMAT))
        if entry.issym():
            self._tell("link", relative, entry.linkname)
        if content is None:
            return None
        return cast("IO[bytes]", _Taken(self, content, own, "program" if executable else "file"))

    def finish(self) -> IO[bytes] | None:
        """The compressed copy, to read from its start; None without a copy. Call it last."""
        self._write(b"\0" * (2 * tarfile.BLOCKSIZE))
        if self._packed is None or self._file is None:
            return None
        self._packed.close()
        self._packed = None
        self._file.seek(0)
        return self._file

    def _tell(self, kind: str, relative: str, what: str) -> None:
        for text in (kind, relative, what):
            self._digest.update(text.encode("utf-8", "surrogateescape") + b"\0")

    def _write(self, data: bytes) -> None:
        if self._packed is None:
            return
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self.is_too_large = True
                self._discard()
                return
        self._packed.write(data)

    def _discard(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._packed = None


class _Taken:
    """The content of a file that is sent."""

    def __init__(
        self, copy: CodeCopy, content: IO[bytes], entry: tarfile.TarInfo, kind: str
    ) -> None:
        self._copy, self._content, self._kind = copy, content, kind
        self._name, self._left = entry.name, entry.size
        self._padding = -entry.size % tarfile.BLOCKSIZE
        self._digest = hashlib.sha256()
        if not self._left:
            self._end()

    def read(self, size: int = -1) -> bytes:
        data = self._content.read(size)
        if data:
            self._digest.update(data)
            self._copy._write(data)
            self._left -= len(data)
            if not self._left:
                self._end()
        return data

    def _end(self) -> None:
        self._copy._write(b"\0" * self._padding)
        self._copy._tell(self._kind, self._name, self._digest.hexdigest())


def unpack(packed: IO[bytes], folder: Path, most: int | None = None) -> None:
    """Unpack a copy into a folder, and write nothing outside the folder.

    Args:
        most: Bytes; by default what such an archive may have.

    Raises:
        ValueError: The file is not such a copy, or made to fill the disk.
        OSError: The folder cannot be written to.
    """
    links: list[tuple[Path, str]] = []
    size = packed.seek(0, io.SEEK_END)
    most = most_unpacked(size) if most is None else most
    packed.seek(0)
    try:
        with tarfile.open(fileobj=packed, mode="r:gz") as tar:
            for count, entry in enumerate(tar):
                path = _inside(folder, entry.name)
                most -= abs(entry.size)
                if most < 0 or count >= MOST_FILES or entry.issparse():
                    raise ValueError("it has more files, or bigger ones, than are unpacked")
                if entry.issym():
                    links.append((path, entry.linkname))
                elif entry.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                elif entry.isreg():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("wb") as file:
                        shutil.copyfileobj(cast("IO[bytes]", tar.extractfile(entry)), file)
                    path.chmod(entry.mode & 0o777)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"it cannot be unpacked: {error}") from error
    for path, target in links:  # last, so that no file is written through a link
        _inside(folder, os.path.normpath(path.parent.relative_to(folder) / target))
        if not _leads_inside(path.parent, folder):
            raise ValueError(f"its entry '{path.relative_to(folder)}' would be outside the folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    if (found := link_outside(folder)) is not None:
        raise ValueError(f"its link '{found.relative_to(folder)}' leads outside the folder")


def link_outside(folder: Path) -> Path | None:
    """A link in a folder that leads to somewhere else, by other links maybe; None for none."""
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink() and not _leads_inside(path, folder):
                return path
    return None


def _leads_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _inside(folder: Path, name: str) -> Path:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"its entry '{name}' would be outside the folder")
    return folder / pure


class RecordedCode(FrozenModel):
    """The code of a run, in its record.

    Attributes:
        digest: The digest of the files that were sent; see this module.
        commit: The commit that has the files; empty if none has.
        repository: The root of the repository on the client; empty if it was fetched.
        subdirectory: The project's folder in the repository.
        archived: True if the files are among the artifacts.
        why_not: The reason if the files are neither in a commit nor among the artifacts.
    """

    digest: str = ""
    commit: str = ""
    repository: str = ""
    subdirectory: str = ""
    archived: bool = False
    why_not: str = ""
