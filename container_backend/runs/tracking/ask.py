"""What a process of the user says to a proxy, over the Unix socket in its folder."""

from __future__ import annotations

import http.client
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend.runs.tracking.grants import ProxyFolder

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from container_backend.runs.ledger import Entry

_logger = logging.getLogger(__package__)
# The loop of the supervisor asks.
_FENCE_SECONDS: Final = 2.0
# A request may be waiting for the store for 100 s.
ANSWER_SECONDS: Final = 120.0


def end_grant(folder: str, submission: str) -> None:
    """End the grant of a run: after this call, nothing is written by its token.

    Args:
        folder: Of the proxy, as the note of the run has it.
    """
    known = ProxyFolder(Path(folder))
    known.grants.end(submission)
    try:
        ask(known, "end", ANSWER_SECONDS, submission=submission)
    except OSError as error:  # without a proxy, nothing is being written
        _logger.debug("The proxy does not answer: %s", error)


def store_waited_for(folder: str) -> str:
    """What programs wait for to write to the store of a proxy; empty if they do not."""
    return ProxyFolder(Path(folder)).waits_for() if folder else ""


def is_fenced(entry: Entry) -> bool:
    """True once nothing of the last attempt of a run is written any more: then the next may start.

    Does not wait for that, but for the answer: up to two seconds.
    """
    note = entry.read()
    if not entry.steps.have_stopped():
        return False
    if note is None or not note.proxy:
        return True
    folder, submission = ProxyFolder(Path(note.proxy)), entry.submission
    try:
        said = ask(folder, "fence", _FENCE_SECONDS, submission=submission)
    except (FileNotFoundError, ConnectionRefusedError):  # no process: nothing is being written
        return True
    except OSError as error:  # a process that does not answer may still write
        _logger.debug("The proxy does not answer: %s", error)
        return False
    return bool(said["is_fenced"])


def ask(folder: ProxyFolder, what: str, timeout: float, **said: str) -> dict[str, Any]:
    """Ask a proxy to do something. Raises OSError if it does not answer."""
    path, body = f"/container-backend/{what}", json.dumps(said).encode()
    status, answer = exchange(folder.connect(timeout), "POST", path, body, {})
    if status != http.client.OK:
        raise ConnectionError(f"HTTP {status}: {answer[:200]!r}")
    return dict(json.loads(answer))


def exchange(
    connected: socket.socket, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    """Status and body of the answer to a request. Closes the connection. Raises OSError."""
    connection = http.client.HTTPConnection("proxy")
    connection.sock = connected
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
