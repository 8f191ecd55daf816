"""Download the files of path parameters to this machine, before the run."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import requests

from container_backend.labels_and_tags import TEMPORARY_PREFIX
from container_backend.project.command import download_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack

    from container_backend.project.command import Download

_CHUNK_BYTES: Final = 1024 * 1024
_TIMEOUT_SECONDS: Final = 60


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
        if wanted.uri.startswith(("http://", "https://")):
            download_over_http(wanted.uri, wanted.target)
        else:
            download(wanted.uri, wanted.target.parent)

    if downloads:
        needed.callback(shutil.rmtree, storage, ignore_errors=True)
    download_files(downloads, fetch)


def download_over_http(uri: str, target: Path) -> None:
    """Download a file.

    Raises:
        requests.RequestException: The server refuses, or does not answer.
        OSError: The file cannot be written.
    """
    with requests.get(uri, stream=True, timeout=_TIMEOUT_SECONDS) as answer:
        answer.raise_for_status()
        with target.open("wb") as file:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                file.write(chunk)
