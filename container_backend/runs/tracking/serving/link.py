"""Carries TCP connections over one pair of byte streams. Runs at both ends: also in containers.

Standard library only, Python 3.8. In a container, the text of this module is run with a port as argument: it
listens there, on the loopback address, and the streams are its standard input and output.

A frame is the number of a connection, a kind, and a length or a count of bytes, then that many bytes.
Each end may send a window of bytes that the other end has not passed on: a connection whose program
does not read holds up no other one, and no memory.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER = struct.Struct("!IBI")
_OPENED, _DATA, _PASSED_ON, _CLOSED = 0, 1, 2, 3
_WINDOW = 1024 * 1024
_PIECE = 256 * 1024
# So much is passed on before the other end is told: each frame wakes programs of the engine.
_TOLD = _WINDOW // 4
_MOST = 256
# fcntl(2); named by the module since Python 3.10.
_SET_PIPE_SIZE = 1031


class Link:
    """All connections over a pair of streams."""

    def __init__(
        self,
        read: Callable[[int], bytes],
        write: Callable[[bytes], None],
        connect: Callable[[], socket.socket] | None = None,
    ) -> None:
        """Carry connections.

        Args:
            read: Returns the next bytes, at most as many as asked for; none at the end.
            write: Sends bytes, all of them.
            connect: Opens the socket of a connection that the other end has begun.
        """
        self._read = read
        self._write = write
        self._connect = connect
        self._writing = threading.Lock()
        self._connections: dict[int, _Connection] = {}
        self._count = 0

    def begin(self, connected: socket.socket) -> None:
        """Carry a connection that was accepted here."""
        self._count += 1
        connection = self._connections[self._count] = _Connection(self, self._count, connected)
        self.send(self._count, _OPENED, 0)  # before its bytes, and after its answers are known
        connection.start()

    def run(self) -> None:
        """Until the streams end; then close all connections."""
        try:
            while True:
                header = self._exactly(_HEADER.size)
                if header is None:
                    return
                number, kind, count = _HEADER.unpack(header)
                if kind == _DATA and count > _PIECE:
                    return  # not from this module
                data = self._exactly(count) if kind == _DATA else b""
                if data is None:
                    return
                self._take(number, kind, count, data)
        finally:
            for connection in list(self._connections.values()):
                connection.close()

    def send(self, number: int, kind: int, count: int, data: bytes = b"") -> None:
        """Send a frame, whose bytes are in one piece."""
        with self._writing:
            self._write(_HEADER.pack(number, kind, count) + data)

    def forget(self, number: int) -> None:
        """A connection was closed."""
        self._connections.pop(number, None)

    def _take(self, number: int, kind: int, count: int, data: bytes) -> None:
        connection = self._connections.get(number)
        if kind == _OPENED and self._connect is not None:
            if connection is not None or len(self._connections) >= _MOST:
                raise ValueError("too many connections, or one that there is")
            try:
                connected = self._connect()
            except OSError:
                self.send(number, _CLOSED, 0)
                return
            self._connections[number] = _Connection(self, number, connected)
            self._connections[number].start()
        elif connection is not None:
            connection.take(kind, count, data)

    def _exactly(self, count: int) -> bytes | None:
        piece = self._read(min(count, _PIECE))
        if len(piece) == count or not piece:
            return piece or None
        pieces = [piece]
        count -= len(piece)
        while count > 0:
            piece = self._read(min(count, _PIECE))
            if not piece:
                return None
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)


class _Connection:
    def __init__(self, link: Link, number: int, connected: socket.socket) -> None:
        self._link = link
        self._number = number
        self._socket = connected
        self._changed = threading.Condition()
        self._window = _WINDOW
        self._arrived: deque[bytes] = deque()
        self._waiting = 0
        self._is_ending = False
        self._is_closed = False
        self._has_said = False

    def start(self) -> None:
        for target in (self._receive, self._pass_on):
            threading.Thread(target=target, daemon=True).start()

    def take(self, kind: int, count: int, data: bytes) -> None:
        """A frame of the other end. Does not wait."""
        with self._changed:
            if kind == _DATA:
                self._arrived.append(data)
                self._waiting += count
                if self._waiting > _WINDOW:
                    raise ValueError("more than the window")
            elif kind == _PASSED_ON:
                self._window += count
            else:
                self._is_ending = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._link.forget(self._number)
        self._say_closed()

    def _receive(self) -> None:
        """Send what the socket receives, within the window."""
        try:
            while True:
                with self._changed:
                    while self._window <= 0 and not self._is_closed:
                        self._changed.wait()
                    most = min(self._window, _PIECE)
                if self._is_closed:
                    return
                data = self._socket.recv(most)
                if not data:
                    break
                with self._changed:
                    self._window -= len(data)
                self._link.send(self._number, _DATA, len(data), data)
            self._say_closed()
        except Exception:  # noqa: BLE001 of the socket; of the stream, its own kind
            self.close()

    def _pass_on(self) -> None:
        """Write to the socket what has arrived."""
        with suppress(Exception):  # of the socket; of the stream, its own kind
            passed_on = 0
            while True:
                with self._changed:
                    while not (self._arrived or self._is_ending or self._is_closed):
                        self._changed.wait()
                    if self._is_closed:
                        return
                    if not self._arrived:
                        break
                    data = self._arrived.popleft()
                    self._waiting -= len(data)
                self._socket.sendall(data)
                passed_on += len(data)
                if passed_on >= _TOLD:
                    self._link.send(self._number, _PASSED_ON, passed_on)
                    passed_on = 0
        self.close()

    def _say_closed(self) -> None:
        """Tell the other end, once."""
        with self._changed:
            has_said, self._has_said = self._has_said, True
        if not has_said:
            with suppress(Exception):  # the streams have ended
                self._link.send(self._number, _CLOSED, 0)


def write_all(descriptor: int) -> Callable[[bytes], None]:
    """A function that writes all of some bytes to a file descriptor."""

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


def main() -> None:
    """Listen in a container, until the standard input ends."""
    for stream in (0, 1):  # fewer changes between this program and those of the engine
        with suppress(OSError):
            fcntl.fcntl(stream, _SET_PIPE_SIZE, _WINDOW)
    listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    link = Link(lambda count: os.read(0, count), write_all(1))

    def accept() -> None:
        while True:
            connected, _ = listening.accept()
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.begin(connected)

    threading.Thread(target=accept, daemon=True).start()
    link.run()


if __name__ == "__main__":
    main()
    os._exit(0)
