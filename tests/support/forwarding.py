"""A TCP port of loopback that leads to a unix socket: an engine as if it were on another host."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


@contextlib.contextmanager
def forward(path: str, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Forward while the context lasts; gives the port.

    Args:
        path: Of the unix socket.
        context: For TLS on the port.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, path, context), daemon=True).start()
        yield listening.getsockname()[1]


def _accept(listening: socket.socket, path: str, context: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_serve, args=(connection, path, context), daemon=True).start()


def _serve(connection: socket.socket, path: str, context: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError), connection:
        outer = context.wrap_socket(connection, server_side=True) if context else connection
        with outer, socket.socket(socket.AF_UNIX) as inner:
            inner.connect(path)
            back = threading.Thread(target=_copy, args=(inner, outer), daemon=True)
            back.start()
            _copy(outer, inner)
            back.join()


@contextlib.contextmanager
def relay(listening: socket.socket, port: int) -> Iterator[None]:
    """Lead to a port of this machine's loopback, while the context lasts.

    Args:
        listening: Where connections come in; it may be in another network namespace.
        port: Where they lead to.
    """
    threading.Thread(target=_pass_on, args=(listening, port), daemon=True).start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _pass_on(listening: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            outer, _ = listening.accept()
            threading.Thread(target=_connect, args=(outer, port), daemon=True).start()


def _connect(outer: socket.socket, port: int) -> None:
    with (
        contextlib.suppress(OSError),
        outer,
        socket.create_connection(("127.0.0.1", port)) as inner,
    ):
        back = threading.Thread(target=_copy, args=(inner, outer), daemon=True)
        back.start()
        _copy(outer, inner)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(64 * 1024):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Failing:
    """A TCP port of loopback that leads to another one, and is gone after so many bytes.

    It takes connections as soon as it is made.
    """

    def __init__(self, port: int, limit: int) -> None:
        """Make it.

        Args:
            port: Where it leads to.
            limit: How many bytes it takes in either direction before it is gone.
        """
        self._target, self._left = port, limit
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def is_gone(self) -> bool:
        """Whether all bytes were used up."""
        return self._left <= 0

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                outer, _ = self._listening.accept()
                inner = socket.create_connection(("127.0.0.1", self._target))
                self._open |= {outer, inner}
                for pair in ((outer, inner), (inner, outer)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(64 * 1024):
                with self._lock:
                    self._left -= len(data)
                if self.is_gone:
                    self.close()
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Be gone."""
        # Only a shutdown wakes up an accept.
        for connection in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
