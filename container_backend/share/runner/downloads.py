"""Files that a program is handed by address: fetched into the container before it starts.

As :mod:`container_backend.project.downloads`, which does it on the machine that starts a run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.errors import InvalidProject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.project.command import Download

_CHUNK_BYTES: Final = 1024 * 1024
_TIMEOUT_SECONDS: Final = 60
_NO_MLFLOW: Final = 3
# MLflow knows the other kinds of addresses; it is the program's, in an interpreter of its own.
_FETCH: Final = f"""
import sys
try:
    from mlflow.artifacts import download_artifacts
except ImportError:
    sys.exit({_NO_MLFLOW})
download_artifacts(artifact_uri=sys.argv[1], dst_path=sys.argv[2])
"""


def fetch_files(downloads: Sequence[Download]) -> None:
    """Fetch files.

    Raises:
        InvalidProject: One cannot be fetched.
    """
    for download in downloads:
        where = f"The parameter '{download.parameter}' names '{_shown(download.uri)}'"
        sys.stderr.write(f"=== Downloading {_shown(download.uri)} ===\n")
        sys.stderr.flush()
        try:
            download.target.parent.mkdir(parents=True, exist_ok=True)
            if download.uri.startswith(("http://", "https://")):
                _fetch_over_http(download)
            else:
                _fetch_with_mlflow(download)
        except (OSError, ValueError) as error:
            raise InvalidProject(f"{where}, which cannot be downloaded: {error}") from error
        if not download.target.exists():
            raise InvalidProject(f"{where}, but nothing of that name was downloaded.")


def _fetch_over_http(download: Download) -> None:
    from urllib.request import urlopen

    answer = urlopen(download.uri, timeout=_TIMEOUT_SECONDS)  # noqa: S310 checked above
    with answer, download.target.open("wb") as file:
        while data := answer.read(_CHUNK_BYTES):
            file.write(data)


def _fetch_with_mlflow(download: Download) -> None:
    import subprocess  # takes longer to import than all else

    done = subprocess.run(  # noqa: S603 the interpreter of the environment
        [sys.executable, "-c", _FETCH, download.uri, str(download.target.parent)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode == _NO_MLFLOW:
        raise ValueError("there is no MLflow in this image, which would know how")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(lines[-1] if lines else f"exit code {done.returncode}")


def _shown(uri: str) -> str:
    """An address without user and password."""
    scheme, separator, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def choose_storage(parent: str | None) -> Path:
    """A folder for this run, which is not there yet. :mod:`tempfile` would take long to import."""
    folder = Path(parent or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 the name is our own
    return folder.expanduser().absolute() / f"container-backend-{os.urandom(6).hex()}"
