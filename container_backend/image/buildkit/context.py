"""A build context as a tar: the same files, the same bytes."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Final

from container_backend.machine import chunks, is_program, size_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from container_backend.machine import Content

DOCKERFILE: Final = "Dockerfile"
_CHUNK_BYTES: Final = 256 * 1024
_FILE: Final = 0o644
_PROGRAM: Final = 0o755


def packed(files: Mapping[str, Content]) -> Iterator[bytes]:
    """A tar of files in pieces, the Dockerfile first.

    The first header must be a plain one: with an extended (PAX) header, the engine takes the
    whole tar for a Dockerfile.

    Raises:
        ValueError: ``files`` has no Dockerfile.
        FileChanged: A file has changed since it was hashed.
    """
    if DOCKERFILE not in files:
        raise ValueError(f"a build context needs a {DOCKERFILE}")
    paths = sorted(files, key=lambda path: (path != DOCKERFILE, path))
    return _gathered(
        _pieces(
            (path, size_of(files[path]), chunks(files[path]), _mode(files[path])) for path in paths
        )
    )


def stream_tar(files: Iterable[tuple[str, int, Iterable[bytes]]]) -> Iterator[bytes]:
    """A tar of path, size and content, in pieces; the tar is never whole in memory."""
    return _gathered(_pieces((*file, _FILE) for file in files))


def _mode(content: Content) -> int:
    return _PROGRAM if is_program(content) else _FILE


def _pieces(files: Iterable[tuple[str, int, Iterable[bytes], int]]) -> Iterator[bytes]:
    for path, size, content, mode in files:
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode, entry.mtime = size, mode, 0
        yield entry.tobuf(tarfile.PAX_FORMAT)
        yield from content
        yield bytes(-size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each piece is a write to the engine's socket."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= _CHUNK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)
