"""Download the files of path parameters to this machine, before the run."""

from __future__ import annotations

import logging
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import requests

from container_backend.errors import InvalidProject
from container_backend.labels_and_tags import TEMPORARY_PREFIX
from container_backend.masking import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack

    from container_backend.project.command import Download

_logger = logging.getLogger(__package__)
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
    if downloads:
        needed.callback(shutil.rmtree, storage, ignore_errors=True)
    for wanted in downloads:
        _logger.info("=== Downloading %s ===", without_credentials(wanted.uri))
        _fetch(wanted, download)


def _fetch(wanted: Download, download: Callable[[str, Path], object]) -> None:
    where = f"The parameter '{wanted.parameter}' names '{without_credentials(wanted.uri)}'"
    try:
        # Readable for all users: the program may run as another user.
        for folder in (wanted.target.parent.parent, wanted.target.parent):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if wanted.uri.startswith(("http://", "https://")):
            download_over_http(wanted.uri, wanted.target)
        else:
            download(wanted.uri, wanted.target.parent)
    except Exception as error:  # each of MLflow's stores raises its own kind
        raise InvalidProject(f"{where}, which cannot be downloaded: {error}") from error
    if not wanted.target.exists():
        raise InvalidProject(f"{where}, but the download has no file of that name.")


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
