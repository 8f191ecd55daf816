"""Download the files of path parameters into the container, before the program starts.

:mod:`container_backend.project.downloads` does the same on the client.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.project.command import download_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.project.command import Download

_CHUNK_BYTES: Final = 1024 * 1024
_TIMEOUT_SECONDS: Final = 60
_NO_MLFLOW: Final = 3
# The MLflow of the image downloads from other addresses, in a process of its own.
_FETCH: Final = f"""
import sys
try:
    from mlflow.artifacts import download_artifacts
except ImportError:
    sys.exit({_NO_MLFLOW})
download_artifacts(artifact_uri=sys.argv[1], dst_path=sys.argv[2])
"""


def fetch_files(downloads: Sequence[Download]) -> None:
    """Download files.

    Raises:
        InvalidProject: A file cannot be downloaded.
    """
    download_files(downloads, _fetch)


def _fetch(download: Download) -> None:
    download.target.parent.mkdir(parents=True, exist_ok=True)
    if download.uri.startswith(("http://", "https://")):
        _fetch_over_http(download)
    else:
        _fetch_with_mlflow(download)


def _fetch_over_http(download: Download) -> None:
    from urllib.request import urlopen

    answer = urlopen(download.uri, timeout=_TIMEOUT_SECONDS)  # noqa: S310 checked above
    with answer, download.target.open("wb") as file:
        while data := answer.read(_CHUNK_BYTES):
            file.write(data)


def _fetch_with_mlflow(download: Download) -> None:
    import subprocess  # takes longer to import than everything else

    done = subprocess.run(  # noqa: S603 the interpreter of the environment
        [sys.executable, "-c", _FETCH, download.uri, str(download.target.parent)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode == _NO_MLFLOW:
        raise ValueError("it needs MLflow, which this image does not have")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(lines[-1] if lines else f"exit code {done.returncode}")


def choose_storage(parent: str | None) -> Path:
    """The path of a new folder for this run. Importing :mod:`tempfile` would take longer."""
    folder = Path(parent or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 the name is random
    return folder.expanduser().absolute() / f"container-backend-{os.urandom(6).hex()}"
