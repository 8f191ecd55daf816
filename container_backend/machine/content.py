"""The content of a build context's files: in memory, or on disk and read when it is sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK: Final = 256 * 1024
# When files were written whose real time says nothing: the first day that a zip archive can tell, in
# seconds since 1970. The same in templates/access.sh.
ONE_TIME: Final = 315_532_800


class FileChanged(Exception):
    """A file is not what it was when its content was hashed.

    Not an ``OSError``: those of a connection are handled where files are sent over it.
    """


@dataclass(frozen=True)
class FileContent:
    """A file on disk, as it was when it was hashed.

    Attributes:
        path: Where it is.
        size: In bytes.
        digest: sha256, in hex.
    """

    path: Path
    size: int
    digest: str


Content = bytes | FileContent


def hash_file(path: Path) -> FileContent:
    """Hash a file, whatever its size.

    Raises:
        OSError: It cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
            size += len(data)
    return FileContent(path, size, digest.hexdigest())


def size_of(content: Content) -> int:
    """In bytes."""
    return len(content) if isinstance(content, bytes) else content.size


def digest_of(content: Content) -> str:
    """sha256, in hex."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    return content.digest


def chunks(content: Content) -> Iterator[bytes]:
    """The content piece by piece: exactly what was hashed.

    Raises:
        FileChanged: The file has changed since, or cannot be read any more.
    """
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
