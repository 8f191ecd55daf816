"""Shows a container's output and writes it to disk, in a thread."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final
from zlib import crc32

from container_backend.container import inspect_container
from container_backend.engine import STDERR, STDOUT, time_in_log
from container_backend.errors import EngineError, Refused
from container_backend.runs.output.stream import Chunk, follow_log, read_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from container_backend.engine import Engine
    from container_backend.runs.output.spool import LogSpool

_logger = logging.getLogger(__package__)
# The engine's clock is known to this precision.
_CLOCK_SECONDS: Final = 0.05
# Sorts after every time in a log.
_NEVER: Final = "Z"
# After the end of the program, output that stops for this time counts as lost.
_STALLED_SECONDS: Final = 5.0


class Display:
    """Shows the output of a container from its first byte to its last, each byte once."""

    def __init__(
        self, engine: Engine, container_id: str, write: Callable[[Chunk], None], spool: LogSpool
    ) -> None:
        self._engine = engine
        self._container_id = container_id
        self._write: Callable[[Chunk], None] | None = write
        self._spool = spool
        self._bytes = {STDOUT: 0, STDERR: 0}
        self._digests = {STDOUT: 0, STDERR: 0}
        self._read = 0
        self._ended = time.monotonic()
        self._broken = False
        self._thread: threading.Thread | None = None

    def show(self, chunks: Iterable[Chunk]) -> None:
        """Begin to show chunks, in a thread."""
        self._thread = threading.Thread(
            target=self._take, args=(chunks,), name=f"output-{self._container_id[:12]}", daemon=True
        )
        self._thread.start()

    def resume(self) -> None:
        """After the engine was away, go on with what the engine has kept."""
        if not self.goes_on:
            self._broken = False
            self.show(self._rest())

    def compare(self) -> None:
        """If nothing was received, show the engine's log: a lost stream ends like an empty one."""
        if not any(self._bytes.values()):
            self.show(self._kept())

    @property
    def goes_on(self) -> bool:
        """False once all output was received or the stream broke off."""
        return self._thread is not None and self._thread.is_alive()

    def drain(self) -> bool:
        """Wait for the output, or for five seconds without a chunk. True if it is complete."""
        read = -1
        while self.goes_on:
            self.join(_STALLED_SECONDS)
            if self.goes_on and read == (read := self._read):
                return False
        return not self._broken

    def join(self, seconds: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(seconds)

    def _take(self, chunks: Iterable[Chunk]) -> None:
        try:
            for chunk in chunks:
                self._count(chunk)
                self._spool.write(chunk)
                self._show(chunk)
        except EngineError as error:
            self._broken = True
            _logger.debug("The output of %s broke off: %s", self._container_id, error)
        finally:
            self._ended = time.monotonic()

    def _count(self, chunk: Chunk) -> None:
        self._read += 1
        self._bytes[chunk.stream] += len(chunk.data)
        self._digests[chunk.stream] = crc32(chunk.data, self._digests[chunk.stream])

    def _show(self, chunk: Chunk) -> None:
        if self._write is None:
            return
        try:
            self._write(chunk)
        except (OSError, ValueError) as error:  # a closed pipe or stream
            self._write = None
            _logger.warning("The output can no longer be shown; it is still kept: %s", error)

    def _kept(self) -> Iterator[Chunk]:
        try:
            yield from read_log(self._engine, self._container_id)
        except Refused as error:  # the log driver cannot be read
            _logger.debug("The log of %s is not read: %s", self._container_id, error)

    def _rest(self) -> Iterator[Chunk]:
        """The engine's log without the part that was shown already."""
        new_from = _NEVER if self._is_logged() else self._new_from()
        skip = dict(self._bytes)
        for written, chunk in follow_log(self._engine, self._container_id):
            self._read += 1
            known = min(skip[chunk.stream], len(chunk.data)) if written < new_from else 0
            skip[chunk.stream] -= known
            if known < len(chunk.data):
                yield Chunk(chunk.stream, chunk.data[known:])

    def _is_logged(self) -> bool:
        """True if the log has all that was shown; an engine that was killed loses some."""
        left, digests = dict(self._bytes), dict.fromkeys(self._bytes, 0)
        for stream, data in read_log(self._engine, self._container_id):
            self._read += 1
            known = data[: left[stream]]
            left[stream] -= len(known)
            digests[stream] = crc32(known, digests[stream])
            if not any(left.values()):
                break
        return digests == self._digests

    def _new_from(self) -> str:
        """The time, as in the log, from which entries are new although earlier ones are missing.

        An engine that was killed logs nothing from its death, when it stopped sending, until it
        is back.
        """
        ended, asked = self._ended, time.monotonic()
        now = self._engine.clock()
        found = inspect_container(self._engine, self._container_id)
        if now is None or found is None:
            return _NEVER
        lost = now - (asked - ended)
        if found.has_ended and (found.finished_at or 0) <= lost + _CLOCK_SECONDS:
            return _NEVER  # the program ended before the engine was lost
        return time_in_log(lost)
