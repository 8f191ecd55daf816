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


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(64 * 1024):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
