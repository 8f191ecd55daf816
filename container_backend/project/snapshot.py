"""What is sent of a project: its digest, and a copy for the run's record, made on the way.

The copy is a tar of the files alone: whose they are, and when they were written, is not in it, so
that the same files make the same bytes. The digest is over the files, whatever they are packed in:
a checkout of the same commit has it, too.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final, cast

from container_backend.machine import ONE_TIME, FrozenModel

if TYPE_CHECKING:
    from typing_extensions import Self


_IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
# Code is small and wanted soon.
_LEVEL: Final = 1


class CodeCopy:
    """Takes what is sent, file by file."""

    def __init__(self, *, keep: bool, most_bytes: int | None = None) -> None:
        """Nothing is taken yet.

        Args:
            keep: Whether a copy is made, or just the digest.
            most_bytes: What the files may have altogether; a larger copy is given up.
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
        self._give_up()

    @property
    def digest(self) -> str:
        """``sha256:…`` over path, content and executability of all files, and targets of links."""
        return f"sha256:{self._digest.hexdigest()}"

    def take(
        self, relative: str, entry: tarfile.TarInfo, content: IO[bytes] | None = None
    ) -> IO[bytes] | None:
        """Take an entry of the archive that is sent.

        Args:
            relative: Its path in the project.
            entry: As it is sent.
            content: Of a file.

        Returns:
            The content for the process that sends it; what is read is also kept.
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
        """The copy at its start, compressed; None where there is none. Nothing more is taken."""
        if self._packed is None or self._file is None:
            return None
        self._write(b"\0" * (2 * tarfile.BLOCKSIZE))
        if self._packed is None:
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
                self._give_up()
                return
        self._packed.write(data)

    def _give_up(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._packed = None


class _Taken:
    """A file that is being sent."""

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


def unpack(packed: IO[bytes], folder: Path) -> None:
    """Unpack a copy into a folder. Nothing is written outside of it.

    Raises:
        ValueError: It is not such a copy.
        OSError: The folder cannot be written to.
    """
    links: list[tuple[Path, str]] = []
    try:
        with tarfile.open(fileobj=packed, mode="r:gz") as tar:
            for entry in tar:
                path = _inside(folder, entry.name)
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
    for path, target in links:  # at last: no file is written by way of one
        _inside(folder, os.path.normpath(path.parent.relative_to(folder) / target))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


def _inside(folder: Path, name: str) -> Path:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"it has an entry outside of it: '{name}'")
    return folder / pure


class RecordedCode(FrozenModel):
    """What ran.

    Attributes:
        digest: Of the files that were sent; see :mod:`container_backend.project.snapshot`.
        commit: That has them; empty where none has.
        repository: Its root, on the disk of who started the run; empty for one that was fetched.
        subdirectory: Of the project in it.
        archived: Whether they are among the artifacts.
        why_not: Why they are in neither.
    """

    digest: str = ""
    commit: str = ""
    repository: str = ""
    subdirectory: str = ""
    archived: bool = False
    why_not: str = ""
