"""Uploads the output so far of a run that goes on, and its metrics, to the run's artifact store."""

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


def upload_while_running(ending: Ending, engine: Engine, store: Store, folder: Path) -> None:
    """Nothing is uploaded for a run whose container is gone, or which was deleted.

    Args:
        ending: What is known of the run so far.
        engine: Where its container is.
        store: Where the run is.
        folder: Of its ledger entry.
    """
    try:
        spool = collect_output(ending, engine, folder / _FOLDER)
    except NotThere:  # its end is the next job
        return
    run = store.find_run(ending.run_id)
    if run is None:
        return
    if spool.error is None:
        store.log_artifact(run, spool.file, LOG_FOLDER)
        spool.file.unlink()
    log_metrics(store, run.run_id, folder / METRICS)
