"""The output of a run among its artifacts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.errors import InvalidInput, TrackingUnreachable
from container_backend.finish import LOG_FOLDER
from container_backend.spool import LOG
from container_backend.store_access import download_artifact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.tracking import MlflowClient

_CHUNK_BYTES: Final = 1024 * 1024


def kept_output(
    client: MlflowClient, run_id: str, *, since: float | None = None, tail: int | None = None
) -> Iterator[bytes]:
    """What was kept of a run's output, in pieces.

    Args:
        client: Of the run's store.
        run_id: The run.
        since: Not known of what was kept; only for the message that says so.
        tail: How many lines at the end; all by default.

    Raises:
        InvalidInput: ``since`` is given.
        TrackingUnreachable: Nothing was kept, or the store does not give it.
    """
    if since is not None:
        raise InvalidInput(
            f"The container of run '{run_id}' is gone, and its kept output has no times.",
            remedy="Leave out --since, or give --tail.",
        )
    with tempfile.TemporaryDirectory(prefix="container-backend-") as folder:
        try:
            path = download_artifact(client, run_id, f"{LOG_FOLDER}/{LOG}", folder)
        except Exception as error:  # each artifact store raises its own kind
            raise TrackingUnreachable(
                f"The run '{run_id}' has no {LOG_FOLDER}/{LOG} among its artifacts: {error}"
            ) from error
        with Path(path).open("rb") as file:
            if tail is not None:
                file.seek(_start_of_last(Path(path), tail))
            yield from iter(lambda: file.read(_CHUNK_BYTES), b"")


def _start_of_last(path: Path, lines: int) -> int:
    """Where the last lines of a file begin."""
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        found, is_end = 0, True
        while at > 0:
            size = min(_CHUNK_BYTES, at)
            at -= size
            file.seek(at)
            data = file.read(size)
            end = len(data) - 1 if is_end and data.endswith(b"\n") else len(data)
            is_end = False
            while (end := data.rfind(b"\n", 0, end)) >= 0:
                found += 1
                if found == lines:
                    return at + end + 1
    return 0 if lines else path.stat().st_size
