"""A BuildKit session: the client's answers to an engine's questions during a build.

The client opens ``POST /session``. Then the engine sends gRPC calls over HTTP/2 on the same
connection: for secrets, for logins of registries, and for the client's health. Protocol:
``session/session.go``, ``session/secrets`` and ``session/auth`` of
https://github.com/moby/buildkit, and the Engine API's ``/session``.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from container_backend.engine import Login, dial
from container_backend.image.buildkit.errors import BuildFailed
from container_backend.image.buildkit.protobuf import encode_bytes, encode_number, fields, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

    from container_backend.engine import EngineHost

_logger = logging.getLogger(__package__)
_HEALTH: Final = "/grpc.health.v1.Health/Check"
_GET_SECRET: Final = "/moby.buildkit.secrets.v1.Secrets/GetSecret"  # noqa: S105 a method's name
_CREDENTIALS: Final = "/moby.filesync.v1.Auth/Credentials"
_METHODS: Final = (_HEALTH, _GET_SECRET, _CREDENTIALS)
# https://grpc.io/docs/guides/status-codes/
_OK, _UNKNOWN, _NOT_FOUND, _UNIMPLEMENTED = 0, 2, 5, 12
_SWITCHING_PROTOCOLS: Final = b"101"
_READ_BYTES: Final = 64 * 1024


class BuildSession:
    """A context manager that holds a session open; builds name the session by its ``id``."""

    def __init__(
        self,
        host: EngineHost,
        *,
        secrets: Mapping[str, bytes] | None = None,
        credentials: Callable[[str], Login | None] | None = None,
    ) -> None:
        """Prepare a session.

        Args:
            secrets: Id → content, for ``RUN --mount=type=secret,id=…``.
            credentials: Returns the login for a registry's host.
        """
        self.id = str(uuid.uuid4())
        self._host = host
        self._secrets = dict(secrets or {})
        self._credentials = credentials or (lambda _host: None)

    def __enter__(self) -> Self:
        """Open the session.

        Raises:
            EngineUnavailable: The engine cannot be reached.
            OSError: The connection broke.
            BuildFailed: The engine refuses to open a session.
        """
        self._socket = dial(self._host)
        try:
            early = self._upgrade(self._socket)
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(None)
        self._thread = threading.Thread(
            target=self._serve, args=(self._socket, early), name=f"session-{self.id}", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the session; the engine forgets the secrets at once."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            _logger.debug("The engine had closed the session %s", self.id)
        self._socket.close()
        self._thread.join(timeout=10)

    def _upgrade(self, connection: socket.socket) -> bytes:
        """Ask for HTTP/2; returns the HTTP/2 bytes that came with the answer."""
        headers = [
            "POST /session HTTP/1.1",
            "Host: docker",
            "Connection: Upgrade",
            "Upgrade: h2c",
            f"X-Docker-Expose-Session-Uuid: {self.id}",
            "X-Docker-Expose-Session-Name: container-backend",
            "X-Docker-Expose-Session-Sharedkey: ",
            *(f"X-Docker-Expose-Session-Grpc-Method: {method}" for method in _METHODS),
        ]
        connection.sendall("\r\n".join([*headers, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = connection.recv(_READ_BYTES)
            if not data:
                raise _refused("the engine closed the connection")
            answer += data
        head, _, early = answer.partition(b"\r\n\r\n")
        status = head.split(b" ", 2)[1:2]
        if status != [_SWITCHING_PROTOCOLS]:
            first = head.splitlines()[0].decode("latin-1")
            raise _refused(f"the engine answered '{first}'")
        return early

    def _serve(self, connection: socket.socket, early: bytes) -> None:
        server = _Server(connection, self._answer)
        try:
            server.run(early)
        except (OSError, h2.exceptions.ProtocolError) as error:
            # A build that still needs the session fails by itself.
            _logger.debug("The session %s ended: %s", self.id, error)

    def _answer(self, method: str, message: bytes) -> bytes | _Refusal:
        if method == _HEALTH:
            return encode_number(1, 1)  # SERVING
        asked = text_of(dict(fields(message)).get(1))
        if method == _GET_SECRET:
            if asked not in self._secrets:
                return _Refusal(_NOT_FOUND, f"secret {asked} not found")
            return encode_bytes(1, self._secrets[asked])
        if method == _CREDENTIALS:
            found = self._credentials(asked) or Login("", "")
            return encode_bytes(1, found.username.encode()) + encode_bytes(
                2, found.password.encode()
            )
        return _Refusal(_UNIMPLEMENTED, f"unknown method {method}")


def _refused(reason: str) -> BuildFailed:
    return BuildFailed(f"The engine does not open a build session: {reason}")


@dataclass(frozen=True)
class _Refusal:
    """A gRPC error."""

    code: int
    message: str


@dataclass
class _Call:
    """A request, as far as it is received, and the unsent part of its answer."""

    method: str
    received: bytearray = field(default_factory=bytearray)
    unsent: bytes = b""
    trailers: tuple[tuple[str, str], ...] | None = None


class _Server:
    """gRPC on one connection: unary calls, one thread, flow control both ways."""

    def __init__(
        self, connection: socket.socket, answer: Callable[[str, bytes], bytes | _Refusal]
    ) -> None:
        self._socket = connection
        self._answer = answer
        self._calls: dict[int, _Call] = {}
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )

    def run(self, early: bytes) -> None:
        """Serve until the engine closes the connection."""
        self._h2.initiate_connection()
        self._flush()
        data = early or self._socket.recv(_READ_BYTES)
        while data:
            for event in self._h2.receive_data(data):
                self._handle(event)
            self._flush()
            data = self._socket.recv(_READ_BYTES)

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._socket.sendall(data)

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = {str(name): str(value) for name, value in event.headers or []}
            self._calls[event.stream_id] = _Call(headers.get(":path", ""))
        elif isinstance(event, h2.events.DataReceived):
            self._calls[event.stream_id].received += event.data or b""
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._reply(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._calls.pop(event.stream_id or 0, None)
        elif isinstance(event, h2.events.WindowUpdated):
            for stream_id in [event.stream_id] if event.stream_id else list(self._calls):
                self._send(stream_id)

    def _reply(self, stream_id: int) -> None:
        call = self._calls[stream_id]
        # Five bytes precede a message: a compression flag and its length.
        answer = self._ask(call.method, bytes(call.received[5:]))
        self._h2.send_headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        if isinstance(answer, _Refusal):
            call.trailers = (
                ("grpc-status", str(answer.code)),
                ("grpc-message", answer.message.encode("ascii", "replace").decode()),
            )
        else:
            call.unsent = struct.pack(">BI", 0, len(answer)) + answer
            call.trailers = (("grpc-status", str(_OK)),)
        self._send(stream_id)

    def _ask(self, method: str, message: bytes) -> bytes | _Refusal:
        try:
            return self._answer(method, message)
        except Exception as error:  # noqa: BLE001 the engine reports the error as the build's
            return _Refusal(_UNKNOWN, f"{type(error).__name__}: {error}".replace("\n", " "))

    def _send(self, stream_id: int) -> None:
        """Send as much of the answer as the engine's flow control allows."""
        call = self._calls.get(stream_id)
        if call is None or call.trailers is None:
            return
        while call.unsent:
            size = min(
                self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size
            )
            if size <= 0:
                return
            self._h2.send_data(stream_id, call.unsent[:size])
            call.unsent = call.unsent[size:]
        self._h2.send_headers(stream_id, list(call.trailers), end_stream=True)
        del self._calls[stream_id]
