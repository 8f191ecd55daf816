"""A container's output: followed from its first byte to its last, standard output and error apart."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import requests.exceptions
import urllib3.exceptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container_backend.engine import Engine

STDOUT: Final = 1
STDERR: Final = 2
_HEADER_BYTES: Final = 8
_CHUNK_BYTES: Final = 64 * 1024
# What may be raised when the engine goes away in the middle of a stream.
STREAM_ERRORS: Final = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)


class Chunk(NamedTuple):
    """Some bytes of output, and whether they went to ``STDOUT`` or ``STDERR``."""

    stream: int
    data: bytes


def follow(engine: Engine, container_id: str, *, is_tty: bool = False) -> Iterator[Chunk]:
    """The output so far and from now on, until the container ends.

    Args:
        engine: Where.
        container_id: Whose.
        is_tty: Whether the container has a terminal, which makes it one stream without headers.

    Raises:
        docker.errors.APIError: There is no such container, or its log driver keeps nothing.
        STREAM_ERRORS: The engine went away.
    """
    # The SDK's own `logs` mixes the two streams; what it is made of does not.
    api: Any = engine.streams.api
    response = api._get(
        api._url("/containers/{0}/logs", container_id),
        params={"stdout": 1, "stderr": 1, "follow": 1, "timestamps": 0, "tail": "all"},
        stream=True,
    )
    api._raise_for_status(response)
    with response:
        chunks = response.raw.stream(_CHUNK_BYTES, decode_content=True)
        if is_tty:
            yield from (Chunk(STDOUT, data) for data in chunks)
        else:
            yield from demultiplex(chunks)


def demultiplex(chunks: Iterator[bytes]) -> Iterator[Chunk]:
    """Take the engine's frames apart: one byte of stream, three of nothing, four of length.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
    """
    buffer = bytearray()
    for data in chunks:
        buffer += data
        while len(buffer) >= _HEADER_BYTES:
            end = _HEADER_BYTES + int.from_bytes(buffer[4:_HEADER_BYTES], "big")
            if len(buffer) < end:
                break
            yield Chunk(buffer[0], bytes(buffer[_HEADER_BYTES:end]))
            del buffer[:end]


def console() -> Callable[[Chunk], None]:
    """A function that writes chunks to this process's standard output and error, as they are."""
    streams = {STDOUT: sys.stdout, STDERR: sys.stderr}

    def write(chunk: Chunk) -> None:
        target = streams[STDERR if chunk.stream == STDERR else STDOUT]
        binary: IO[bytes] | None = getattr(target, "buffer", None)
        if binary is None:  # a notebook's stream, or a test's: text only
            target.write(chunk.data.decode("utf-8", "replace"))
        else:
            target.flush()
            binary.write(chunk.data)
        target.flush()

    return write
