"""How a run is, in one answer: from its container while it goes on, else from the tracking store."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from container_backend import names, state
from container_backend.container_use import check_run_id, find_container
from container_backend.description import duration
from container_backend.masking import without_credentials
from container_backend.outside import exit_code_of

if TYPE_CHECKING:
    from container_backend.engine import Engine
    from container_backend.run_container import RunContainer


def status_of(engine: Engine, prefix: str) -> dict[str, Any]:
    """How a run is.

    Args:
        engine: Where its container may be.
        prefix: The beginning of its id.

    Raises:
        InvalidInput: There is no such run, or there are several.
        TrackingUnreachable: The tracking store does not answer.
    """
    found = find_container(engine, check_run_id(prefix))
    if found is not None and not found.has_ended:
        return _of_container(found)
    return _of_run(found.run_id if found is not None else prefix)


def _of_container(found: RunContainer) -> dict[str, Any]:
    began = found.started_at
    return {
        "run_id": found.run_id,
        "status": state.RUNNING,
        "state": found.state.get("Status", ""),
        "reason": "it was asked to stop" if found.ending else "",
        "exit_code": None,
        "cause": "",
        "experiment": found.labels.get(names.LABEL_EXPERIMENT, ""),
        "image": found.labels.get(names.LABEL_IMAGE, ""),
        "started": _time(began),
        "ended": None,
        "duration": None if began is None else duration(max(0.0, time.time() - began)),
        "container": found.id,
        "tracking_uri": found.tracking_uri,
    }


def _of_run(run_id: str) -> dict[str, Any]:
    from container_backend.attachment import attach
    from container_backend.record import reaching
    from container_backend.store_access import open_store

    attached = attach(run_id)
    client = open_store(attached.tracking_uri)
    with reaching(attached.tracking_uri):
        run = client.get_run(attached.run_id)
        experiment = client.get_experiment(run.info.experiment_id)
    tags = run.data.tags
    began, ended = run.info.start_time, run.info.end_time
    return {
        "run_id": run.info.run_id,
        "status": run.info.status,
        "state": "ended" if ended else "",
        "reason": tags.get(names.TAG_REASON, ""),
        "exit_code": exit_code_of(tags.get(names.TAG_EXIT_CODE)),
        "cause": tags.get(names.TAG_CAUSE, ""),
        "experiment": experiment.name,
        "image": tags.get(names.TAG_IMAGE, ""),
        "started": _time(began / 1000 if began else None),
        "ended": _time(ended / 1000 if ended else None),
        "duration": duration((ended - began) / 1000) if began and ended else None,
        "container": tags.get(names.TAG_CONTAINER_ID, ""),
        "tracking_uri": without_credentials(attached.tracking_uri),
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
