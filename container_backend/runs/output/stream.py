"""A container's output: followed from its first byte to its last, standard output and error apart."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from container_backend.engine import exact_seconds
from container_backend.errors import NotThere
from container_backend.masking import Masker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container_backend.container import RunContainer
    from container_backend.engine import Engine

STDOUT: Final = 1
STDERR: Final = 2
_HEADER_BYTES: Final = 8


class Chunk(NamedTuple):
    """Some bytes of output, and whether they went to ``STDOUT`` or ``STDERR``."""

    stream: int
    data: bytes


class Entry(NamedTuple):
    """Of the engine's log: when it got there by the engine's clock (RFC 3339, in UTC), and what."""

    time: str
    chunk: Chunk


class Output:
    """The output of a container from its first byte on: attached to before it starts.

    Attached, not read from the engine's log: engines lose the log of a program that ends at once
    (seen with 20.10 in one of thirty runs of ``cat``), and keep none with some log drivers.
    """

    def __init__(self, engine: Engine, container_id: str) -> None:
        """Attach to a container that was created and not started.

        Args:
            container_id: Whose. It must have no terminal, which would mix its streams.

        Raises:
            Refused: There is no such container.
            EngineUnavailable: The engine went away.
        """
        self._stream = engine.containers.attach(container_id)

    def __iter__(self) -> Iterator[Chunk]:
        """The chunks as they come, until the program has ended.

        Raises:
            EngineUnavailable: The engine went away.
        """
        try:
            yield from demultiplex(iter(self._stream.read, b""))
        finally:
            self._stream.close()

    def close(self) -> None:
        """Detach; the program goes on."""
        self._stream.close()


def demultiplex(chunks: Iterator[bytes]) -> Iterator[Chunk]:
    """Take the engine's frames apart: one byte of stream, three of nothing, four of length.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
    """
    rest = b""
    for data in chunks:
        buffer = rest + data
        at, length = 0, len(buffer)
        stream = 0
        parts: list[bytes] = []
        while length - at >= _HEADER_BYTES:
            begin = at + _HEADER_BYTES
            end = begin + int.from_bytes(buffer[at + 4 : begin], "big")
            if end > length:
                break
            if parts and buffer[at] != stream:
                yield Chunk(stream, b"".join(parts))
                parts = []
            stream = buffer[at]
            parts.append(buffer[begin:end])
            at = end
        if parts:
            yield Chunk(stream, b"".join(parts))
        rest = buffer[at:]


def read_log(
    engine: Engine,
    container_id: str,
    *,
    follow: bool = False,
    since: float | None = None,
    tail: int | None = None,
) -> Iterator[Chunk]:
    """What the engine has kept of a container's output.

    Args:
        follow: Whether to go on until the program has ended.
        since: Seconds since 1970: what was written before is left out.
        tail: How many lines at the end; all by default.

    Raises:
        NotThere: There is no such container.
        EngineUnavailable: The engine went away.
    """
    if follow:
        for entry in follow_log(engine, container_id, since=since, tail=tail):
            yield entry.chunk
        return
    start = None if since is None else f"{since:.9f}"
    yield from demultiplex(engine.containers.logs(container_id, since=start, tail=tail))


def follow_log(
    engine: Engine, container_id: str, *, since: float | None = None, tail: int | None = None
) -> Iterator[Entry]:
    """A log to its end, before which engines may stop to send it.

    20.10 leaves out a last line without newline in half of the cases. So what comes after the last
    entry that was sent is read once more; entries are told apart by their times.

    Args:
        since: Seconds since 1970: what was written before is left out.
        tail: How many lines at the end; all by default.

    Raises:
        NotThere: There is no such container.
        EngineUnavailable: The engine went away.
    """
    start = None if since is None else f"{since:.9f}"
    newest, seen = "", 0
    logs = engine.containers.logs
    sent = logs(container_id, follow=1, timestamps=1, since=start, tail=tail)
    for entry in _entries(sent):
        if entry.time >= newest:
            newest, seen = entry.time, seen + 1 if entry.time == newest else 1
        yield entry
    if newest:
        start, tail = exact_seconds(newest), None
    with suppress(NotThere):  # its run is finished
        for entry in _entries(logs(container_id, timestamps=1, since=start, tail=tail)):
            if entry.time == newest and seen:
                seen -= 1
            else:
                yield entry


def _entries(frames: Iterator[bytes]) -> Iterator[Entry]:
    """The entries of a log with times: each is a frame, and begins with its time and a space."""
    buffer = b""
    for data in frames:
        buffer += data
        at = 0
        while len(buffer) - at >= _HEADER_BYTES:
            begin = at + _HEADER_BYTES
            end = begin + int.from_bytes(buffer[at + 4 : begin], "big")
            if end > len(buffer):
                break
            time, _, text = buffer[begin:end].partition(b" ")
            yield Entry(time.decode("ascii", "replace"), Chunk(buffer[at], text))
            at = end
        buffer = buffer[at:]


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


def read_output(
    engine: Engine,
    container: RunContainer,
    *,
    follow: bool = False,
    since: float | None = None,
    tail: int | None = None,
) -> Iterator[Chunk]:
    """As :func:`container_backend.runs.output.stream.read_log`, without the secrets that the program was handed."""
    secrets = container.secrets
    maskers = {STDOUT: Masker(secrets), STDERR: Masker(secrets)}
    for chunk in read_log(engine, container.id, follow=follow, since=since, tail=tail):
        stream = STDERR if chunk.stream == STDERR else STDOUT
        yield Chunk(stream, maskers[stream].mask(chunk.data))
    for stream, masker in maskers.items():
        yield Chunk(stream, masker.rest())
