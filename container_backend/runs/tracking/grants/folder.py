"""The folder of a proxy: one for each user and store."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from container_backend.container import local_path
from container_backend.machine import (
    FileLock,
    __version__,
    make_private,
    state_folder,
    write_whole,
)
from container_backend.masking import without_credentials
from container_backend.runs.tracking.grants.grant import Grants
from container_backend.store import is_listening

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_BACKLOG: Final = 256
# Seconds without a word, seconds between questions, questions.
_KEEPALIVE: Final = {socket.TCP_KEEPIDLE: 15, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}


@dataclass(frozen=True)
class ProxyFolder:
    """What processes of this user share with the proxy of a store."""

    path: Path

    @property
    def log(self) -> Path:
        return self.path / "proxy.log"

    @property
    def grants(self) -> Grants:
        return Grants(self.path / "grants")

    def lock(self) -> FileLock:
        """Held by the process of the proxy, also while it is being started again; not yet taken."""
        return FileLock(self.path / "proxy.lock", "another tracking proxy")

    def listen(self) -> socket.socket:
        """Listen for processes of the user. Raises OSError."""
        listening = socket.socket(socket.AF_UNIX)
        with self._socket() as address:
            Path(address).unlink(missing_ok=True)
            listening.bind(address)
        listening.listen(_BACKLOG)
        return listening

    def connect(self, timeout: float) -> socket.socket:
        """Connect to the proxy as its user, for at most ``timeout`` seconds. Raises OSError."""
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(timeout)
        with self._socket() as address:
            connected.connect(address)
        return connected

    @contextmanager
    def _socket(self) -> Iterator[str]:
        """The address of a socket in the folder: unix(7) has room for 108 characters."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{folder}/socket"
        finally:
            os.close(folder)

    def is_there(self) -> bool:
        """True if the process of the proxy is there, or about to come back."""
        with self.lock() as lock:
            return not lock.try_to_own()

    def port(self) -> int:
        """The port of the proxy, also of one that is to come back; 0 if there was none."""
        with suppress(ValueError):
            return int(self._noted("port"))
        return 0

    def note_port(self, port: int) -> None:
        write_whole(self.path / "port", str(port))

    def failure(self) -> str:
        """Why the proxy could not be started; empty if it could, or was not yet."""
        return self._noted("failed")

    def note_failure(self, said: str) -> None:
        write_whole(self.path / "failed", said)

    def waits_for(self) -> str:
        """What requests of programs wait for; empty if they do not."""
        return self._noted("waiting")

    def note_waiting(self, said: str) -> None:
        with suppress(OSError):  # as on a full disk
            write_whole(self.path / "waiting", said)

    def hosts(self) -> list[str]:
        """Addresses of this machine at which containers reach the proxy."""
        with suppress(ValueError):
            return [str(host) for host in json.loads(self._noted("hosts"))]
        return []

    def note_hosts(self, hosts: Sequence[str]) -> None:
        write_whole(self.path / "hosts", json.dumps(hosts))

    def _noted(self, name: str) -> str:
        """What a file says; empty if it is missing."""
        with suppress(OSError):
            return self.path.joinpath(name).read_text(encoding="utf-8")
        return ""


def listen(host: str, port: int) -> socket.socket:
    """Listen at an address of this machine; at any port for 0. Raises OSError."""
    listening = socket.create_server((host, port), backlog=_BACKLOG)
    # tcp(7): inherited by connections. A container that is gone may not have said so.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        listening.setsockopt(socket.IPPROTO_TCP, option, value)
    return listening


def store_behind(tracking_uri: str) -> str:
    """The store on this machine's disk whose proxy is at an address; empty for none.

    A proxy that has ended counts if no other process has taken its port.

    Raises:
        ValueError: This is no address.
    """
    parts = urlsplit(tracking_uri)
    if parts.scheme != "http" or not parts.port or parts.username or parts.path not in {"", "/"}:
        return ""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for path in (state_folder() / "tracking").glob("*/store"):
        known = ProxyFolder(path.parent)
        if known.port() == parts.port and parts.hostname in known.hosts():
            found[known.is_there()].add(path.read_text(encoding="utf-8"))
    if not found[True] and is_listening(tracking_uri):
        return ""
    (store, *others) = found[True] or found[False] or [""]
    return store if not others and local_path(store) is not None else ""


def proxy_folder(tracking_uri: str, logins: Mapping[str, str]) -> ProxyFolder:
    """The folder of the proxy for a store, as some logins reach it.

    It is in the user's folder for state, or in the temporary one if nothing can be written there.
    """
    # A process of another version may be there, and does not understand this one.
    said = json.dumps([__version__, tracking_uri, sorted(logins.items())])
    name = hashlib.sha256(said.encode()).hexdigest()[:16]
    folder = state_folder() / "tracking" / name
    try:
        make_private(folder)
        if not (named := folder / "store").exists():  # a full disk must not lead to a second proxy
            write_whole(named, without_credentials(tracking_uri))
    except OSError:
        own = Path(tempfile.gettempdir()) / f"container-backend-{os.getuid()}"
        make_private(own)
        if own.is_symlink() or own.stat().st_uid != os.getuid():
            raise
        folder = own / "tracking" / name
    return ProxyFolder(folder)
