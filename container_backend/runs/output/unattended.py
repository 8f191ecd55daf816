"""Keeps the output of containers whose client is gone, in case they are removed.

With a container goes the engine's log of it. One thread reads the logs of all containers, as the
engine sends them, into a file each; it is read only if the container has vanished.
"""

from __future__ import annotations

import logging
import math
import selectors
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from container_backend.engine import dial
from container_backend.machine import make_private, open_private

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.engine import EngineHost

_logger = logging.getLogger(__package__)
_CHUNK_BYTES: Final = 256 * 1024
_LONGEST_HEADER_BYTES: Final = 64 * 1024
# HTTP/1.0, so that the answer is the frames and nothing else. As chunks of HTTP/1.1, h11 would take
# them apart in ten microseconds each, with eight lines more here. The buffer of http.client hides from
# a selector what has come already.
_REQUEST: Final = (
    "GET /v1.39/containers/{id}/logs?follow=1&stdout=1&stderr=1 HTTP/1.0\r\nHost: docker\r\n\r\n"
)


@dataclass
class _Kept:
    container_id: str
    connection: socket.socket
    file: IO[bytes]
    header: bytes | None = b""
    left: float = math.inf


class LogKeeper:
    """Reads logs into files."""

    def __init__(self, host: EngineHost) -> None:
        """It has a thread from the first container on."""
        self._host = host
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._full: set[str] = set()
        self._woken, self._wake = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread: threading.Thread | None = None

    def begin(self, container_id: str, file: Path, most: int | None = None) -> None:
        """Begin with a container's log, from its first byte on.

        Args:
            most: How many bytes are kept; None for all.
        """
        with self._lock:
            if container_id in self._kept or container_id in self._full:
                return
            try:
                kept = self._open(container_id, file)
                kept.left = math.inf if most is None else most
            except (OSError, ValueError) as error:
                _logger.debug("The log of %s is not kept: %s", container_id, error)
                return
            self._kept[container_id] = kept
            self._selector.register(kept.connection, selectors.EVENT_READ, kept)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log-keeper", daemon=True)
                self._thread.start()
        self._wake.send(b".")

    def end(self, container_id: str) -> None:
        """No more of a container; what was kept stays."""
        with self._lock:
            self._full.discard(container_id)
            kept = self._kept.get(container_id)
            if kept is not None:
                self._close(kept)

    def is_reading(self, container_id: str) -> bool:
        """Whether there may be more of a container's log, or enough of it was kept."""
        with self._lock:
            return container_id in self._kept or container_id in self._full

    def _open(self, container_id: str, file: Path) -> _Kept:
        make_private(file.parent)
        connection = dial(self._host)
        try:
            connection.sendall(_REQUEST.format(id=container_id).encode())
            connection.setblocking(False)
            return _Kept(container_id, connection, open_private(file, "wb", buffering=0))
        except BaseException:
            connection.close()
            raise

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._woken.recv(_CHUNK_BYTES)
                else:
                    self._read(key.data)

    def _read(self, kept: _Kept) -> None:
        with self._lock:
            if self._kept.get(kept.container_id) is not kept:
                return
            try:
                data = _receive(kept.connection)
                frames = self._after_header(kept, data)
                if frames:
                    kept.file.write(frames[: int(min(kept.left, len(frames)))])
                    kept.left -= len(frames)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
                return
            except (OSError, ValueError) as error:
                _logger.debug("The log of %s ends: %s", kept.container_id, error)
                data = b""
            if kept.left <= 0:
                self._full.add(kept.container_id)
            if not data or kept.left <= 0:
                self._close(kept)

    def _after_header(self, kept: _Kept, data: bytes) -> bytes:
        if kept.header is None:
            return data
        kept.header += data
        head, blank, frames = kept.header.partition(b"\r\n\r\n")
        if not blank:
            if len(kept.header) > _LONGEST_HEADER_BYTES:
                raise ValueError("this is no engine")
            return b""
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise ValueError(head.partition(b"\r\n")[0].decode("latin-1"))
        kept.header = None
        return frames

    def _close(self, kept: _Kept) -> None:
        self._selector.unregister(kept.connection)
        kept.connection.close()
        kept.file.close()
        self._kept.pop(kept.container_id, None)


def _receive(connection: socket.socket) -> bytes:
    """What there is; TLS may have more of it than the selector knows of."""
    data = connection.recv(_CHUNK_BYTES)
    while isinstance(connection, ssl.SSLSocket) and connection.pending():
        data += connection.recv(_CHUNK_BYTES)
    return data
