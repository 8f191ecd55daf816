"""Uploads the output and the metrics so far of a running program to its artifact store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from container_backend.errors import NotThere
from container_backend.runs.ledger import METRICS
from container_backend.runs.output.collect import collect_output
from container_backend.store import LOG_FOLDER, log_metrics

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.container import Ending
    from container_backend.engine import Engine
    from container_backend.store import Store

_FOLDER: Final = "progress"


def upload_while_running(
    ending: Ending, engine: Engine, store: Store, folder: Path, artifact_uri: str
) -> None:
    """Upload what there is so far; nothing if the run or its container was removed.

    Args:
        artifact_uri: As noted when the run was created; empty if it was not noted.
    """
    try:
        spool = collect_output(ending, engine, folder / _FOLDER)
    except NotThere:  # the supervisor sends a job for its end next
        return
    run = store.find_run(ending.run_id, artifact_uri)
    if run is None:
        return
    if spool.error is None:
        store.log_artifact(run, spool.file, LOG_FOLDER)
        spool.file.unlink()
    log_metrics(store, run.run_id, folder / METRICS)
