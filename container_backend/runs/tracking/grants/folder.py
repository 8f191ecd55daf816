"""The folder of a proxy: one for each user and store."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from container_backend.machine import (
    FileLock,
    made_once,
    make_private,
    state_folder,
    write_whole,
)
from container_backend.runs.tracking.grants.grant import Grants

if TYPE_CHECKING:
    from collections.abc import Mapping


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

    def key(self) -> str:
        """The key of processes of this user, made once. Raises OSError."""
        return made_once(self.path / "key", lambda: secrets.token_urlsafe(32))

    def port(self) -> int:
        """The port of the proxy, also of one that is to come back; 0 if there was none."""
        with suppress(OSError, ValueError):
            return int(self.path.joinpath("port").read_text(encoding="ascii"))
        return 0

    def note_port(self, port: int) -> None:
        write_whole(self.path / "port", str(port))

    def hosts(self) -> list[str]:
        """Addresses of this machine at which containers reach the proxy."""
        with suppress(OSError, ValueError):
            return [str(host) for host in json.loads(self.path.joinpath("hosts").read_text())]
        return []

    def note_host(self, host: str) -> None:
        if host not in (known := self.hosts()):
            write_whole(self.path / "hosts", json.dumps([*known, host]))


def proxy_folder(tracking_uri: str, logins: Mapping[str, str]) -> ProxyFolder:
    """The folder of the proxy for a store, as some logins reach it.

    It is in the user's folder for state, or where files can be written.
    """
    said = json.dumps([tracking_uri, sorted(logins.items())])
    name = hashlib.sha256(said.encode()).hexdigest()[:16]
    folder = state_folder() / "tracking" / name
    try:
        ProxyFolder(folder).key()
    except OSError:
        own = Path(tempfile.gettempdir()) / f"container-backend-{os.getuid()}"
        make_private(own)
        if own.is_symlink() or own.stat().st_uid != os.getuid():
            raise
        folder = own / "tracking" / name
    return ProxyFolder(folder)
