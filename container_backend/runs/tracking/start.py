"""Starts the proxy of a store if it is missing, and speaks to it."""

from __future__ import annotations

import errno
import http.client
import json
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend.container import ACCESS_VARIABLES, LOCALHOST, local_path
from container_backend.errors import TrackingUnreachable
from container_backend.machine import start_in_background
from container_backend.masking import without_credentials
from container_backend.runs.tracking.grants import ProxyFolder, proxy_folder
from container_backend.runs.tracking.serving import Forwarding, note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.machine import FileLock
    from container_backend.runs.tracking.grants import Grant

_logger = logging.getLogger(__package__)
_MODULE: Final = "container_backend.runs.tracking.serving.process"
# Before a proxy that was killed is started again.
_AGAIN_SECONDS: Final = 0.5
_START_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.02
_LOOK_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 10.0
# A request of a program may be waiting for the store for 100 s.
_END_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Proxy:
    """The proxy of a store, which is started if it is missing."""

    folder: ProxyFolder
    tracking_uri: str
    root: str
    environ: Mapping[str, str] = field(repr=False, default_factory=lambda: os.environ)

    def start(self) -> None:
        """Start the process, without waiting for it, unless one is there.

        Raises:
            TrackingUnreachable: Its folder cannot be written.
        """
        with self.folder.lock() as lock:
            if not lock.try_to_own():
                return
            try:
                _start(self, lock)
            except OSError as error:
                raise TrackingUnreachable(
                    f"The tracking proxy cannot be started: {error.strerror}: '{error.filename}'.",
                    remedy="Set XDG_STATE_HOME to a writable folder.",
                ) from error

    def wait(self) -> None:
        """Until the proxy answers. Raises TrackingUnreachable."""
        deadline = time.monotonic() + _START_SECONDS
        look = time.monotonic() + _LOOK_SECONDS
        pause = threading.Event()
        while True:
            try:
                self.ask("ping")
            except OSError as error:
                if time.monotonic() > deadline:
                    raise TrackingUnreachable(
                        f"The tracking proxy of '{without_credentials(self.tracking_uri)}' does not "
                        f"answer: {error}",
                        remedy=f"See '{self.folder.log}'.",
                    ) from error
                if time.monotonic() > look:  # it may have been about to end when it was looked for
                    self.start()
                    look = time.monotonic() + _LOOK_SECONDS
                pause.wait(_PAUSE_SECONDS)
            else:
                return

    def give(self, grant: Grant) -> str:
        """The token of a new grant. Raises OSError."""
        return self.folder.grants.give(grant)

    def listen(self, host: str) -> int:
        """Have the proxy listen at an address of this machine, too; return the port. Raises OSError."""
        if host == LOCALHOST:
            return self.folder.port()
        said = self.ask("listen", host=host)
        if said["error"]:
            raise OSError(f"{host}: {said['error']}")
        return self.folder.port()

    def forward(self, submission: str, forwarding: Forwarding) -> None:
        """Carry the connections of a container to the proxy. Raises OSError."""
        note(self.folder.grants, submission, forwarding)
        self.ask("forward", submission=submission)

    def ask(self, what: str, **said: str) -> dict[str, Any]:
        """Ask the proxy to do something. Raises OSError if it does not answer."""
        return _ask(self.folder, what, _TIMEOUT_SECONDS, **said)


def proxy_of(tracking_uri: str, root: str, environ: Mapping[str, str] = os.environ) -> Proxy:
    """The proxy of a store.

    Args:
        tracking_uri: Absolute.
        root: Where new experiments have their artifacts, by default: an address.
    """
    names = () if local_path(tracking_uri) is not None else ACCESS_VARIABLES & environ.keys()
    folder = proxy_folder(tracking_uri, {name: environ[name] for name in names})
    return Proxy(folder, tracking_uri, root, environ)


def end_grant(folder: str, submission: str) -> None:
    """End the grant of a run: after this call, nothing is written by its token.

    Args:
        folder: Of the proxy, as the note of the run has it.
    """
    known = ProxyFolder(Path(folder))
    if known.grants.end(submission):
        try:
            _ask(known, "end", _END_SECONDS, submission=submission)
        except OSError as error:  # without a proxy, nothing is being written
            _logger.debug("The proxy does not answer: %s", error)


def _ask(folder: ProxyFolder, what: str, timeout: float, **said: str) -> dict[str, Any]:
    port = folder.port()
    if not _is_mine(port):
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=timeout)
    try:
        connection.request(
            "POST", f"/container-backend/{what}", json.dumps(said),
            {"Authorization": f"Bearer {folder.key()}"},
        )  # fmt: skip
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ConnectionError(f"HTTP {answer.status}: {body[:200]!r}")
    return dict(json.loads(body))


def _is_mine(port: int) -> bool:
    """True if a process of this user listens at a port of the loopback address: it gets the key.

    https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html
    """
    local = f"0100007F:{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines())
    return any(row[1] == local and row[3] == "0A" and row[7] == str(os.getuid()) for row in rows)


def _start(proxy: Proxy, lock: FileLock) -> None:
    """Start the process, which holds the lock as long as it is there, or comes back."""
    proxy.folder.key()
    # The address is no argument: that would show its password.
    environ = {**proxy.environ, "MLFLOW_TRACKING_URI": proxy.tracking_uri}
    start_in_background(
        _MODULE,
        [str(proxy.folder.path), proxy.root],
        proxy.folder.log,
        environ,
        pause=_AGAIN_SECONDS,
        descriptors=lock.hand_on(),
    )
