"""A program's whole output in a file, without the secrets that it was handed; its end in memory."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Final

from container_backend.machine import make_private, owner_only
from container_backend.masking import Masker
from container_backend.runs.output.stream import STDERR, STDOUT, demultiplex
from container_backend.store import LOG

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from container_backend.runs.output.stream import Chunk

_logger = logging.getLogger(__package__)
_BUFFER_BYTES: Final = 1024 * 1024
_TAIL_BYTES: Final = 16 * 1024


class LogSpool:
    """Takes output as it comes. A disk that does not take it ends the file, and nothing else."""

    def __init__(self, folder: Path, secrets: Iterable[bytes]) -> None:
        """Begin a file.

        Args:
            folder: Where it is, as ``container.log``; made where it is not there.
            secrets: What must not be in it.
        """
        self.file = folder / LOG
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
        """Take some more."""
        self._put(self._maskers[STDERR if chunk.stream == STDERR else STDOUT].mask(chunk.data))

    def take(self, chunks: Iterable[Chunk]) -> None:
        """Take all of them, and close the file.

        Raises:
            EngineError: What the chunks come from failed.
        """
        for chunk in chunks:
            self.write(chunk)
        self.close()

    def close(self) -> None:
        """Nothing more will come."""
        for masker in self._maskers.values():
            self._put(masker.rest())
        if self._open is not None:
            try:
                self._open.close()
                self._open = None
            except OSError as error:
                self._give_up(error)

    def _put(self, data: bytes) -> None:
        self.tail = (self.tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        if self._open is None:
            return
        try:
            self._open.write(data)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Room for what matters more: nothing half-made stays on a disk that is full."""
        self.error = error
        _logger.debug("No log in %s: %s", self.file, error)
        if self._open is not None:
            self._open.raw.close()  # what is in its buffer has nowhere to go
            self._open = None
        try:
            self.file.unlink(missing_ok=True)
        except OSError as failure:
            _logger.debug("%s stays: %s", self.file, failure)


def last_lines(tail: bytes, count: int) -> list[str]:
    """The last lines of the end of a log, as text; the first one may be the end of a line."""
    lines = tail.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line.rstrip() for line in lines if line.strip()][-count:]


def frames_in(file: Path) -> Iterable[Chunk]:
    """The output in a file of the engine's frames; a torn one at its end is left out.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as opened:
        yield from demultiplex(iter(lambda: opened.read(_BUFFER_BYTES), b""))
