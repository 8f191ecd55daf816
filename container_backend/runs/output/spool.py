"""Writes a program's output to a file, without secrets, and keeps the end in memory."""

from __future__ import annotations

import io
import logging
import math
from typing import TYPE_CHECKING, Final

from container_backend.engine import STDERR, STDOUT
from container_backend.machine import human_size, make_private, owner_only
from container_backend.masking import Masker
from container_backend.privileges import TRUST_OPTION
from container_backend.runs.output.stream import demultiplex
from container_backend.store import LOG

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from container_backend.runs.output.stream import Chunk

_logger = logging.getLogger(__package__)
_BUFFER_BYTES: Final = 1024 * 1024
_TAIL_BYTES: Final = 16 * 1024
_DROPPED: Final = (
    "\n=== {} more were dropped: of a project of another person, 1 GB of output is kept; all of it with "
    "{}, of a rerun with --trust ===\n"
)


class LogSpool:
    """A file with masked output. An error of the disk ends the file, not the run.

    Attributes:
        error: Why there is no file; None while all output was written.
        tail: The last 16 KiB of the output.
    """

    def __init__(self, folder: Path, secrets: Iterable[bytes], most: int | None = None) -> None:
        """Open ``container.log`` in a folder, which is made if it is missing.

        Args:
            most: How many bytes are written; None for all.
        """
        self.file = folder / LOG
        self._left = math.inf if most is None else most
        self._dropped = 0
        self.error: OSError | None = None
        self.tail = b""
        secrets = tuple(secrets)
        self._maskers = {STDOUT: Masker(secrets), STDERR: Masker(secrets)}
        self._open: io.BufferedWriter | None = None
        try:
            make_private(folder)
            raw = io.FileIO(self.file, "wb", opener=owner_only)
            self._open = io.BufferedWriter(raw, _BUFFER_BYTES)
        except OSError as error:
            self._give_up(error)

    def write(self, chunk: Chunk) -> None:
        self._put(self._maskers[chunk.stream].mask(chunk.data))

    def take(self, chunks: Iterable[Chunk]) -> None:
        """Write all chunks, and close the file. Raises the errors of the chunks."""
        try:
            for chunk in chunks:
                self.write(chunk)
        finally:
            self.close()

    def close(self) -> None:
        for masker in self._maskers.values():
            self._put(masker.rest())
        try:
            if self._open is not None:
                if self._dropped:
                    self._open.write(
                        _DROPPED.format(human_size(self._dropped), TRUST_OPTION).encode()
                    )
                self._open.close()
                self._open = None
        except OSError as error:
            self._give_up(error)

    def _put(self, data: bytes) -> None:
        self.tail = (self.tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        kept = data if len(data) <= self._left else data[: int(self._left)]
        self._left -= len(kept)
        self._dropped += len(data) - len(kept)
        try:
            if self._open is not None:
                self._open.write(kept)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Remove the file: a full disk must have room for what matters more."""
        self.error = error
        _logger.debug("%s cannot be written: %s", self.file, error)
        if self._open is not None:
            self._open.raw.close()  # its buffer is not written
            self._open = None
        try:
            self.file.unlink(missing_ok=True)
        except OSError as failure:
            _logger.debug("%s cannot be removed: %s", self.file, failure)


def last_lines(tail: bytes, count: int) -> list[str]:
    """The last lines of text without empty ones; the first may lack its beginning."""
    lines = tail.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line.rstrip() for line in lines if line.strip()][-count:]


def frames_in(file: Path) -> Iterable[Chunk]:
    """The output in a file of the engine's frames, without an incomplete frame at the end."""
    with file.open("rb") as opened:
        yield from demultiplex(iter(lambda: opened.read(_BUFFER_BYTES), b""))
