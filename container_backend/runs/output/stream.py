"""A container's output as chunks: attached to before the start, or read from the engine's log."""

from __future__ import annotations

import sys
from codecs import getincrementaldecoder
from contextlib import suppress
from itertools import chain, groupby
from operator import itemgetter
from typing import IO, TYPE_CHECKING, NamedTuple

from container_backend.engine import STDERR, STDOUT, exact_seconds, frames_in
from container_backend.errors import NotThere
from container_backend.machine import harmless
from container_backend.masking import Masker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container_backend.container import RunContainer
    from container_backend.engine import Engine


class Chunk(NamedTuple):
    """A piece of output; ``stream`` is ``STDOUT`` or ``STDERR``."""

    stream: int
    data: bytes


class Output:
    """The output of a container, attached to before the start.

    Attached, because engines lose the log of a program that ends at once (20.10: in one of thirty
    runs of ``cat``), and keep none with some log drivers.
    """

    def __init__(self, engine: Engine, container_id: str) -> None:
        """Attach to a container without a terminal. Raises ``Refused`` if it is missing."""
        self._stream = engine.containers.attach(container_id)

    def __iter__(self) -> Iterator[Chunk]:
        try:
            yield from demultiplex(iter(self._stream.read, b""))
        finally:
            self._stream.close()


def demultiplex(chunks: Iterator[bytes]) -> Iterator[Chunk]:
    """The output in the engine's frames; frames of one stream in a row become one chunk."""
    for frames in frames_in(chunks):
        for stream, group in groupby(frames, itemgetter(0)):
            yield Chunk(stream, b"".join(data for _, data in group))


def read_log(
    engine: Engine,
    container_id: str,
    *,
    follow: bool = False,
    since: float | None = None,
    tail: int | None = None,
) -> Iterator[Chunk]:
    """The output in the engine's log. Raises ``NotThere`` if the container is missing.

    Args:
        follow: Go on until the program has ended.
        since: Seconds since 1970; earlier output is left out.
        tail: Number of lines at the end; all by default.
    """
    if follow:
        for _, chunk in follow_log(engine, container_id, since=since, tail=tail):
            yield chunk
        return
    start = None if since is None else f"{since:.9f}"
    yield from demultiplex(engine.containers.logs(container_id, since=start, tail=tail))


def follow_log(
    engine: Engine, container_id: str, *, since: float | None = None, tail: int | None = None
) -> Iterator[tuple[str, Chunk]]:
    """The engine's log until the program has ended, each chunk with its time (RFC 3339, in UTC).

    Arguments and errors are those of :func:`read_log`. Engines may stop before the end of a log:
    20.10 leaves out a last line without newline in half of the cases. So the log is read again from
    the time of the last entry.
    """
    start = None if since is None else f"{since:.9f}"
    newest, seen = "", 0
    logs = engine.containers.logs
    sent = logs(container_id, follow=1, timestamps=1, since=start, tail=tail)
    for time, chunk in _entries(sent):
        if time >= newest:
            newest, seen = time, seen + 1 if time == newest else 1
        yield time, chunk
    if newest:
        start, tail = exact_seconds(newest), None
    with suppress(NotThere):  # the container was removed after the end of its run
        for time, chunk in _entries(logs(container_id, timestamps=1, since=start, tail=tail)):
            if time == newest and seen:
                seen -= 1
            else:
                yield time, chunk


def _entries(chunks: Iterator[bytes]) -> Iterator[tuple[str, Chunk]]:
    """The entries of a log with times: each frame begins with a time and a space."""
    for stream, data in chain.from_iterable(frames_in(chunks)):
        time, _, text = data.partition(b" ")
        yield time.decode("ascii", "replace"), Chunk(stream, text)


def console(*, plain: bool = False) -> Callable[[Chunk], None]:
    """A function that writes chunks to this process's standard output and error.

    Args:
        plain: Show control characters as escapes, so that the output cannot steer a terminal.
    """
    write = _to_streams()
    return _without_controls(write) if plain else write


def _without_controls(write: Callable[[Chunk], None]) -> Callable[[Chunk], None]:
    read = getincrementaldecoder("utf-8")
    decoders = {STDOUT: read("backslashreplace"), STDERR: read("backslashreplace")}

    def write_harmless(chunk: Chunk) -> None:
        text = decoders[chunk.stream].decode(chunk.data)
        write(Chunk(chunk.stream, harmless(text, kept="\n\t").encode()))

    return write_harmless


def _to_streams() -> Callable[[Chunk], None]:
    streams = {STDOUT: sys.stdout, STDERR: sys.stderr}

    def write(chunk: Chunk) -> None:
        target = streams[chunk.stream]
        binary: IO[bytes] | None = getattr(target, "buffer", None)
        if binary is None:  # the stream of a notebook or a test takes only text
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
    """As :func:`read_log`, without the secrets that the container was given."""
    secrets = container.secrets
    maskers = {STDOUT: Masker(secrets), STDERR: Masker(secrets)}
    for chunk in read_log(engine, container.id, follow=follow, since=since, tail=tail):
        yield Chunk(chunk.stream, maskers[chunk.stream].mask(chunk.data))
    for stream, masker in maskers.items():
        yield Chunk(stream, masker.rest())
