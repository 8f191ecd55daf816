"""Opens a connection to an engine without the SDK.

The SDK may lose bytes that arrive together with the answer to an upgrade request: they stay in its
buffer.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from container_backend.engine.api import asking
from container_backend.errors import EngineUnavailable

if TYPE_CHECKING:
    from container_backend.engine.host import EngineHost
    from container_backend.engine.sdk import TLSConfig

_TIMEOUT_SECONDS = 30.0
_TLS_PORT = 2376
_PLAIN_PORT = 2375


@asking()
def dial(host: EngineHost) -> socket.socket:
    """Raises EngineUnavailable also for an untrusted certificate or an unknown scheme."""
    parts = urlsplit(host.url)
    if parts.scheme == "unix":
        return _dial_unix(parts.path or parts.netloc)
    if parts.scheme in {"tcp", "http", "https"}:
        return _dial_tcp(parts, host.tls)
    if parts.scheme == "ssh":
        return _dial_ssh(parts)
    raise EngineUnavailable(f"No engine can be reached over '{parts.scheme}://'.")


def _dial_unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_TIMEOUT_SECONDS)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _dial_tcp(parts: SplitResult, tls: TLSConfig | None) -> socket.socket:
    host = parts.hostname or "localhost"
    port = parts.port or (_TLS_PORT if tls else _PLAIN_PORT)
    connection = socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS)
    if tls is None:
        return connection
    try:
        return _context(tls).wrap_socket(connection, server_hostname=host)
    except OSError:
        connection.close()
        raise


def _context(tls: TLSConfig) -> ssl.SSLContext:
    """The SDK's rules: check the engine's certificate unless `verify` is off."""
    context = ssl.create_default_context(cafile=tls.ca_cert or None)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert:
        context.load_cert_chain(*tls.cert)
    return context


def _dial_ssh(parts: SplitResult) -> socket.socket:
    """Connect as the docker command does: through ``docker system dial-stdio`` over ssh."""
    arguments = ["ssh", "-o", "BatchMode=yes"]
    if parts.username:
        arguments += ["-l", parts.username]
    if parts.port:
        arguments += ["-p", str(parts.port)]
    ours, theirs = socket.socketpair()
    with theirs:
        # The process ends when either side closes the connection.
        subprocess.Popen(  # noqa: S603 words, no shell
            [*arguments, "--", str(parts.hostname), "docker", "system", "dial-stdio"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    ours.settimeout(_TIMEOUT_SECONDS)
    return ours
