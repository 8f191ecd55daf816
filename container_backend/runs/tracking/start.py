"""Starts the proxy of a store if it is missing, and speaks to it."""

from __future__ import annotations

import logging
import math
import os
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from container_backend.container import ACCESS_VARIABLES, LOCALHOST, local_path
from container_backend.errors import TrackingUnreachable
from container_backend.machine import start_in_background
from container_backend.masking import without_credentials
from container_backend.runs.tracking.ask import ANSWER_SECONDS, ask, exchange
from container_backend.runs.tracking.grants import (
    ProxyFolder,
    listen,
    proxy_folder,
    store_behind,
)
from container_backend.runs.tracking.serving import Forwarding, note
from container_backend.store import ServedStore, refused

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence

    from container_backend.runs.tracking.grants import Grant
    from container_backend.store import Store

_logger = logging.getLogger(__package__)
_MODULE: Final = "container_backend.runs.tracking.serving.process"
# Before a proxy that was killed is started again.
_AGAIN_SECONDS: Final = 0.5
_START_SECONDS: Final = 60.0
# Other ports are tried so often.
_PORTS: Final = 3
_PAUSE_SECONDS: Final = 0.02
_LOOK_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 10.0
# A proxy that has answered is taken to be there for this time, without another ping.
_LATELY_SECONDS: Final = 5.0
_ANSWERED: Final[dict[Path, float]] = {}


@dataclass(frozen=True)
class Proxy:
    """The proxy of a store, which is started if it is missing.

    Attributes:
        root: Where new experiments have their artifacts, by default: an address.
    """

    folder: ProxyFolder
    tracking_uri: str
    root: str

    def start(self, *hosts: str) -> bool:
        """Start the process, without waiting for it; false if one is there.

        What connects to it waits from now on, also while it is started again: its sockets are made
        here, and kept by the shell that starts it.

        Args:
            hosts: Addresses of this machine to listen at, beside the loopback address.

        Raises:
            TrackingUnreachable: Its folder cannot be written.
        """
        with self.folder.lock() as lock, ExitStack() as sockets:
            if not lock.try_to_own():
                return False
            try:
                listening = self._sockets(hosts, sockets)
                _start(self, (*lock.hand_on(), *(each.fileno() for each in listening)), listening)
            except OSError as error:
                raise TrackingUnreachable(
                    f"The tracking proxy cannot be started: {error}.",
                    remedy="Set XDG_STATE_HOME to a writable folder." if error.filename else "",
                ) from error
            return True

    def _sockets(self, hosts: Iterable[str], closing: ExitStack) -> list[socket.socket]:
        """At the port of before, which programs may have; at another one if that is taken.

        Raises:
            OSError: An address cannot be had: another process at that port would get the tokens.
        """
        wanted = [LOCALHOST, *({*hosts} - {LOCALHOST})]
        found: list[socket.socket] = []
        for port in (self.folder.port(), *[0] * _PORTS):
            with ExitStack() as made, suppress(OSError):
                found = _listening(wanted, port, made)
                closing.push(made.pop_all())
                break
        found = found or _listening(wanted, 0, closing)
        port = found[0].getsockname()[1]
        self.folder.note_port(port)
        for host in {*self.folder.hosts()} - {*wanted}:
            with suppress(OSError):  # of a network that is gone
                found.append(closing.enter_context(listen(host, port)))
        self.folder.note_hosts([each.getsockname()[0] for each in found])
        return found

    def wait(self) -> None:
        """Until the proxy answers. Raises TrackingUnreachable."""
        deadline = time.monotonic() + _START_SECONDS
        look = time.monotonic() + _LOOK_SECONDS
        while not self.answers():
            if time.monotonic() > deadline:
                raise TrackingUnreachable(
                    f"The tracking proxy of '{without_credentials(self.tracking_uri)}' does not "
                    "answer.",
                    remedy=f"See '{self.folder.log}'.",
                )
            if (said := self.folder.failure()) and not self.folder.is_there():
                raise refused(self.tracking_uri, said)
            if time.monotonic() > look:  # it may have been about to end when it was looked for
                self.start()
                look = time.monotonic() + _LOOK_SECONDS
            time.sleep(_PAUSE_SECONDS)

    def give(self, grant: Grant) -> str:
        """The token of a new grant. Raises OSError."""
        return self.folder.grants.give(grant)

    def listen(self, host: str) -> int:
        """Have the proxy listen at an address of this machine; return the port.

        Raises:
            TrackingUnreachable: The proxy does not answer.
            OSError: The address cannot be had.
        """
        if self.start(host):  # the one of before has ended meanwhile
            return self.folder.port()
        try:
            said = self.ask("listen", host=host)
        except OSError:
            self.wait()
            said = self.ask("listen", host=host)
        if said["error"]:
            raise OSError(f"{host}: {said['error']}")
        return self.folder.port()

    def forward(self, submission: str, forwarding: Forwarding) -> None:
        """Carry the connections of a container to the proxy. Raises OSError."""
        note(self.folder.grants, submission, forwarding)
        self.wait()
        self.ask("forward", submission=submission)

    def ask(self, what: str, **said: str) -> dict[str, Any]:
        """Ask the proxy to do something. Raises OSError if it does not answer."""
        return ask(self.folder, what, _TIMEOUT_SECONDS, **said)

    def answers(self) -> bool:
        """True if the process is there, and serves the store."""
        try:
            self.ask("ping")
        except OSError:
            return False
        return True

    def send(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Ask the store, as the user: see ``ServedStore``."""
        headers = {"Content-Type": "application/json", "X-Artifact-Root": quote(self.root)}
        while True:
            try:
                connected = self.folder.connect(ANSWER_SECONDS)
            except OSError:
                self.wait()
            else:
                break
        try:
            answer = exchange(connected, method, path, body, headers)
        except TimeoutError as error:  # it may still carry the request out
            raise refused(self.tracking_uri, f"no answer in {ANSWER_SECONDS:g} s") from error
        except OSError as error:
            self.wait()
            raise ConnectionError(str(error)) from error
        _ANSWERED[self.folder.path] = time.monotonic()
        return answer


def proxy_of(tracking_uri: str) -> Proxy:
    """The proxy of a store, whose address is absolute."""
    names = () if local_path(tracking_uri) is not None else ACCESS_VARIABLES & os.environ.keys()
    folder = proxy_folder(tracking_uri, {name: os.environ[name] for name in names})
    return Proxy(folder, tracking_uri, _artifact_root(tracking_uri))


def _artifact_root(tracking_uri: str) -> str:
    """Where MLflow puts the artifacts of new experiments: a server knows; a client on disk has a folder.

    https://mlflow.org/docs/latest/self-hosting/architecture/artifact-store
    """
    if local_path(tracking_uri) is None:
        return ""
    return str(Path.cwd() / "mlruns") if tracking_uri.startswith("sqlite:") else tracking_uri


def served_by(proxy: Proxy) -> Store | None:
    """A store on this machine's disk through its proxy, if that answers; a server is asked itself."""
    file = local_path(proxy.tracking_uri)
    if file is None:
        return None
    lately = time.monotonic() - _ANSWERED.get(proxy.folder.path, -math.inf) < _LATELY_SECONDS
    answers = (lately and file.exists()) or proxy.answers()
    return ServedStore(proxy.tracking_uri, proxy) if answers else None


def open_store(tracking_uri: str) -> Store:
    """Open a store that exists: through its proxy if that is there, else with MLflow.

    Args:
        tracking_uri: May be the address of a proxy: that of a run which the program of another run
            has started.

    Raises:
        TrackingUnreachable: The store is a file or a folder that is missing on this machine.
    """
    with suppress(OSError):  # as where no folder for state can be written
        with suppress(ValueError):  # no address
            tracking_uri = store_behind(tracking_uri) or tracking_uri
        if local_path(tracking_uri) is not None and (served := served_by(proxy_of(tracking_uri))):
            return served
    from container_backend.store import open_with_mlflow  # takes seconds

    return open_with_mlflow(tracking_uri)


def _listening(hosts: Sequence[str], port: int, closing: ExitStack) -> list[socket.socket]:
    """Sockets at the same port of several addresses; 0 for any. Raises OSError."""
    found: list[socket.socket] = []
    for host in hosts:
        found.append(closing.enter_context(listen(host, port)))
        port = found[0].getsockname()[1]
    return found


def _start(proxy: Proxy, descriptors: Sequence[int], listening: Sequence[socket.socket]) -> None:
    """Start the process, which has lock and sockets as long as it is there, or comes back."""
    proxy.folder.note_failure("")
    proxy.folder.note_waiting("")
    # The address is no argument: that would show its password.
    environ = {**os.environ, "MLFLOW_TRACKING_URI": proxy.tracking_uri}
    start_in_background(
        _MODULE,
        [str(proxy.folder.path), proxy.root, *(str(each.fileno()) for each in listening)],
        proxy.folder.log,
        environ,
        pause=_AGAIN_SECONDS,
        descriptors=descriptors,
    )
