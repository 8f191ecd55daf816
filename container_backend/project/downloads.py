"""Download the files of path parameters to this machine, before the run."""

from __future__ import annotations

import ipaddress
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from container_backend.errors import InvalidProject
from container_backend.labels_and_tags import TEMPORARY_PREFIX
from container_backend.machine import human_size
from container_backend.project.command import download_files
from container_backend.project.parameters import HTTP

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack

    from container_backend.project.command import Download

_CHUNK_BYTES: Final = 1024 * 1024
_TIMEOUT_SECONDS: Final = 60
# Of an address that a project names, and of a project.
MOST_OF_OTHERS: Final = 10 * 1024**3


class _PublicConnection(HTTPConnection):
    """A connection to no server of this machine or of its networks, whatever a name resolves to."""

    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        address = connected.getpeername()[0]
        if not ipaddress.ip_address(address).is_global:
            connected.close()
            raise InvalidProject(
                f"{address} is not a public address; type the address: -P NAME=ADDRESS"
            )
        return connected


class _PublicTlsConnection(_PublicConnection, HTTPSConnection):
    pass


class _PublicAdapter(HTTPAdapter):
    """Uses these connections; a proxy of the user decides by itself what it reaches."""

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 as of the base
        super().init_poolmanager(*arguments, **named)
        pools = {"http": (HTTPConnectionPool, _PublicConnection),
                 "https": (HTTPSConnectionPool, _PublicTlsConnection)}  # fmt: skip
        self.poolmanager.pool_classes_by_scheme = {
            scheme: type("Pool", (pool,), {"ConnectionCls": connection})
            for scheme, (pool, connection) in pools.items()
        }


def _login_in_address(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The login that an address itself has, and none of the netrc file."""
    user, password = get_auth_from_url(request.url or "")
    return HTTPBasicAuth(user, password)(request) if user or password else request


class _PublicSession(requests.Session):
    """Sends no login of the user's netrc file."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _login_in_address
        for scheme in HTTP:
            self.mount(scheme, _PublicAdapter())

    def rebuild_auth(self, *_: object) -> None:
        """After a redirection, too."""


def choose_storage(storage_dir: str | None) -> Path:
    """The path of a new folder for one run."""
    parent = Path(storage_dir).expanduser().absolute() if storage_dir else tempfile.gettempdir()
    return Path(parent) / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:12]}"


def fetch_files(
    downloads: Sequence[Download],
    storage: Path,
    needed: ExitStack,
    download: Callable[[str, Path], object],
) -> None:
    """Download files.

    Args:
        storage: The folder of all targets.
        needed: Removes the folder when it is closed.
        download: Downloads from an address without HTTP into a folder.

    Raises:
        InvalidProject: A file cannot be downloaded.
    """

    def fetch(wanted: Download) -> None:
        # Readable for all users: the program may run as another user.
        for folder in (wanted.target.parent.parent, wanted.target.parent):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if wanted.uri.startswith(HTTP):
            most = MOST_OF_OTHERS if wanted.is_public else None
            download_over_http(wanted.uri, wanted.target, is_public=wanted.is_public, most=most)
        else:
            download(wanted.uri, wanted.target.parent)

    if downloads:
        needed.callback(shutil.rmtree, storage, ignore_errors=True)
    download_files(downloads, fetch)


def download_over_http(
    uri: str, target: Path, *, is_public: bool = False, most: int | None = None
) -> None:
    """Download a file.

    Args:
        is_public: From a public server, without a login of the user.
        most: How many bytes are taken; None for any number.

    Raises:
        InvalidProject: The file is bigger.
        requests.RequestException: The server refuses, or does not answer.
        OSError: The file cannot be written.
    """
    with (
        _PublicSession() if is_public else requests.Session() as session,
        session.get(uri, stream=True, timeout=_TIMEOUT_SECONDS) as answer,
    ):
        answer.raise_for_status()
        with target.open("wb") as file:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                if most is not None and file.tell() > most:
                    raise InvalidProject(f"'{uri}' is bigger than {human_size(most)}.")
