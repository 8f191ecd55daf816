"""Requests (attach, exec) whose answer is a stream until the connection closes.

The answer has no length and no chunks, so ``http.client`` closes the socket after the headers. A
real socket stays open through its file object. The SDK's socket over ssh does not: ``close`` ends
the ssh process, and the output is lost. So this module opens its own connection.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from container_backend.engine.api import REQUEST_TIMEOUT_SECONDS, asking
from container_backend.engine.transport import dial
from container_backend.errors import NotThere, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine.api import Connection

_READ_BYTES: Final = 256 * 1024
STDOUT: Final = 1
STDERR: Final = 2
_HEADER_BYTES: Final = 8


class RawStream:
    """The answer to a ``POST`` request on its own connection."""

    def __init__(self, connection: Connection, path: str, body: object = None) -> None:
        """Send the request and read the headers of the answer.

        Args:
            path: Below the API version, with the query.
            body: Sent as JSON.
        """
        self._socket = dial(connection.host)
        try:
            self._socket.settimeout(REQUEST_TIMEOUT_SECONDS)
            self._answer = _ask(self._socket, connection.api_version, path, body)
            self._socket.settimeout(None)
        except BaseException:
            self.close()
            raise

    @asking()
    def read(self) -> bytes:
        """Wait for the next bytes; empty at the end of the stream."""
        return self._answer.read1(_READ_BYTES)

    @asking()
    def write(self, data: bytes) -> None:
        """Send bytes to the program, all of them."""
        self._socket.sendall(data)

    def close(self) -> None:
        """Close the connection; this ends a ``read`` in another thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def frames_in(chunks: Iterator[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    """The frames that each piece completes: one byte of stream, three of nothing, four of length.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
    """
    buffer = b""
    for data in chunks:
        buffer += data
        at = 0
        frames = []
        while len(buffer) - at >= _HEADER_BYTES:
            begin = at + _HEADER_BYTES
            end = begin + int.from_bytes(buffer[at + 4 : begin], "big")
            if end > len(buffer):
                break
            frames.append((STDERR if buffer[at] == STDERR else STDOUT, buffer[begin:end]))
            at = end
        buffer = buffer[at:]
        yield frames


@asking()
def _ask(
    connected: socket.socket, api_version: str, path: str, body: object
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("docker")
    connection.sock = connected
    content = json.dumps({} if body is None else body)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"/v{api_version}{path}", content, headers)
    answer = connection.getresponse()
    if answer.status != http.client.OK:
        kind = NotThere if answer.status == http.client.NOT_FOUND else Refused
        raise kind(_explanation(answer.read()), answer.status)
    return answer


def _explanation(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.decode("utf-8", "replace").strip()
