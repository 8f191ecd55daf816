"""A request whose answer is a stream that lasts until the connection ends: attach, exec.

The answer has neither a length nor chunks, so ``http.client`` closes the connection once it has
read the headers. A real socket lives on through its file. The SDK's socket over ssh does not: its
``close`` ends the ssh process, and the output is lost. So the connection is the product's own.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import requests
from docker.errors import APIError, NotFound

from container_backend.engine.connection import REQUEST_TIMEOUT_SECONDS
from container_backend.engine.transport import dial

if TYPE_CHECKING:
    from container_backend.engine.connection import Engine

_READ_BYTES: Final = 64 * 1024


class RawStream:
    """The answer to a ``POST`` that was sent over a connection of its own."""

    def __init__(self, engine: Engine, path: str, body: object = None) -> None:
        """Send the request, and wait for the head of the answer.

        Args:
            engine: Which.
            path: Below the API's version, with its query.
            body: Sent as JSON.

        Raises:
            docker.errors.APIError: The engine refuses.
            OSError: The engine went away.
        """
        try:
            self._socket = dial(engine.host)
        except ValueError as error:
            raise OSError(str(error)) from error
        try:
            self._socket.settimeout(REQUEST_TIMEOUT_SECONDS)
            self._answer = _ask(self._socket, engine, path, body)
            self._socket.settimeout(None)
        except http.client.HTTPException as error:
            self.close()
            raise ConnectionError(f"the engine does not answer: {error}") from error
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes:
        """What there is, without waiting for a full buffer; nothing at the end.

        Raises:
            OSError: The engine went away.
        """
        return self._answer.read1(_READ_BYTES)

    def close(self) -> None:
        """Let go of the connection; a ``read`` in another thread ends."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _ask(
    connected: socket.socket, engine: Engine, path: str, body: object
) -> http.client.HTTPResponse:
    api: Any = engine.client.api
    connection = http.client.HTTPConnection("docker")
    connection.sock = connected
    content = json.dumps({} if body is None else body)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"/v{api._version}{path}", content, headers)
    answer = connection.getresponse()
    if answer.status == http.client.OK:
        return answer
    raise _refused(answer)


def _refused(answer: http.client.HTTPResponse) -> APIError:
    """As the SDK would raise it."""
    response = requests.Response()
    response.status_code, response.reason = answer.status, answer.reason
    text = answer.read()
    try:
        said = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        said = text.decode("utf-8", "replace").strip()
    kind = NotFound if answer.status == http.client.NOT_FOUND else APIError
    return kind(answer.reason, response=response, explanation=said)
