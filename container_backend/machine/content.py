"""The content of a build context's files: bytes in memory, or files that are read when sent."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK: Final = 256 * 1024
# The modification time of files without a meaningful one: the earliest time of zip archives, in
# seconds since 1970. The same in templates/access.sh.
ONE_TIME: Final = 315_532_800


class FileChanged(Exception):
    """A file has changed since its content was hashed.

    Not an ``OSError``, because code that sends files treats an ``OSError`` as a lost connection.
    """


@dataclass(frozen=True)
class FileContent:
    """A hashed file: its size in bytes, its sha256 digest in hex, and if it may be executed."""

    path: Path
    size: int
    digest: str
    is_program: bool = False


Content = bytes | FileContent


def hash_file(path: Path) -> FileContent:
    with path.open("rb") as file:
        digest = digest_of_file(file)
        is_program = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
        return FileContent(path, file.seek(0, os.SEEK_END), digest, is_program)


def digest_of_file(file: IO[bytes]) -> str:
    """The sha256 digest in hex of an open file from its start, where it is left."""
    digest = hashlib.sha256()
    file.seek(0)
    while data := file.read(_CHUNK):
        digest.update(data)
    file.seek(0)
    return digest.hexdigest()


def size_of(content: Content) -> int:
    """The size in bytes."""
    return len(content) if isinstance(content, bytes) else content.size


def digest_of(content: Content) -> str:
    """The sha256 digest in hex."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    return content.digest


def is_program(content: Content) -> bool:
    """True for a file that may be executed."""
    return isinstance(content, FileContent) and content.is_program


def chunks(content: Content) -> Iterator[bytes]:
    """Read the content in pieces; raises FileChanged if the file is not as it was hashed."""
    if isinstance(content, bytes):
        yield content
        return
    digest, left = hashlib.sha256(), content.size
    try:
        with content.path.open("rb") as file:
            while left and (data := file.read(min(_CHUNK, left))):
                digest.update(data)
                left -= len(data)
                yield data
            grown = bool(file.read(1))
    except OSError as error:
        raise FileChanged(f"'{content.path}' cannot be read any more: {error.strerror}") from error
    if left or grown or digest.hexdigest() != content.digest:
        raise FileChanged(f"'{content.path}' changed while it was sent to the engine")
