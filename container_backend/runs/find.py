"""Finds a run by the beginning of its id, on the engine or in the tracking store."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from container_backend import labels_and_tags
from container_backend.container import RUNNING, ambiguous, check_run_id, find_container
from container_backend.engine import connect, find_host
from container_backend.errors import EngineUnavailable, InvalidInput
from container_backend.masking import without_credentials
from container_backend.runs.ending import outcome_in
from container_backend.runs.handle import ContainerRun
from container_backend.runs.ledger import is_signed
from container_backend.runs.tracking import open_store
from container_backend.store import (
    await_listener,
    default_address,
    duration,
    store_address,
)

if TYPE_CHECKING:
    from container_backend.container import RunContainer
    from container_backend.engine import Engine
    from container_backend.store import StoredRun

_WHOLE_ID_CHARACTERS = 32
# An error names this many of the runs that match.
_MOST_NAMED = 6


def attach(run_id: str) -> ContainerRun:
    """The handle of a run, by the beginning of its id, on the engine that the environment names.

    Raises:
        InvalidInput: No run or several runs match.
        TrackingUnreachable: The run is not on the engine, and the tracking store does not answer.
    """
    prefix = check_run_id(run_id)
    host = find_host()
    found = _on_engine(prefix)
    if found is not None:
        return ContainerRun(host, _store_of(found), found.run_id, found.id)
    uri = default_address()
    run = _in_store(uri, prefix)
    return ContainerRun(host, uri, run.run_id, run.tags.get(labels_and_tags.TAG_CONTAINER_ID))


def _on_engine(prefix: str) -> RunContainer | None:
    try:
        with closing(connect()) as engine:
            return find_container(engine, prefix, is_signed)
    except EngineUnavailable:
        return None  # the store may know the run


def _store_of(found: RunContainer) -> str:
    """The address of a run's store: that of this process for containers of other users.

    Every user of the engine can set labels and variables of a container.
    """
    own = default_address()
    if without_credentials(own) == found.tracking_uri or not is_signed(found.labels):
        return own
    return store_address(found.tracking_uri, found.environment)


def _in_store(uri: str, prefix: str) -> StoredRun:
    store = open_store(uri)
    await_listener(uri)
    if len(prefix) == _WHOLE_ID_CHARACTERS:
        whole = store.find_run(prefix)
        found = [] if whole is None else [whole]
    else:
        found = store.runs_beginning_with(prefix, _MOST_NAMED)
    if not found:
        raise _unknown(prefix, uri)
    if len(found) > 1:
        raise ambiguous(prefix, sorted(run.run_id for run in found))
    return found[0]


def _unknown(prefix: str, uri: str) -> InvalidInput:
    return InvalidInput(
        f"There is no run '{prefix}', neither on the engine nor in the tracking store "
        f"'{without_credentials(uri)}'.",
        remedy="List the runs with `container-backend ps -a`; check MLFLOW_TRACKING_URI.",
    )


def status_of(engine: Engine, prefix: str) -> dict[str, Any]:
    """What ``container-backend status`` shows of a run, by the beginning of its id.

    Raises:
        InvalidInput: No run or several runs match.
        TrackingUnreachable: The tracking store does not answer.
    """
    found = find_container(engine, check_run_id(prefix), is_signed)
    if found is not None and not found.has_ended:
        return _of_container(found)
    return _of_run(found.run_id if found is not None else prefix)


def _of_container(found: RunContainer) -> dict[str, Any]:
    began = found.started_at
    return {
        "run_id": found.run_id,
        "status": RUNNING,
        "state": found.state.get("Status", ""),
        "reason": "it is being stopped" if found.ending else "",
        "exit_code": None,
        "cause": "",
        "experiment": found.labels.get(labels_and_tags.LABEL_EXPERIMENT, ""),
        "image": found.labels.get(labels_and_tags.LABEL_IMAGE, ""),
        "started": _time(began),
        "ended": None,
        "duration": None if began is None else duration(max(0.0, time.time() - began)),
        "container": found.id,
        "tracking_uri": found.tracking_uri,
    }


def _of_run(run_id: str) -> dict[str, Any]:
    attached = attach(run_id)
    store = open_store(attached.tracking_uri)
    await_listener(store.tracking_uri)
    run = store.find_run(attached.run_id)
    if run is None:
        raise _unknown(attached.run_id, attached.tracking_uri)
    experiment = store.find_experiment(run.experiment_id)
    outcome = outcome_in(run)
    began, ended = run.started_at, run.ended_at
    return {
        "run_id": run.run_id,
        "status": outcome.status,
        "state": "ended" if ended else "",
        "reason": outcome.reason,
        "exit_code": outcome.exit_code,
        "cause": outcome.cause,
        "experiment": experiment.name if experiment else "",
        "image": run.tags.get(labels_and_tags.TAG_IMAGE, ""),
        "started": _time(began),
        "ended": _time(ended),
        "duration": duration(ended - began) if began and ended else None,
        "container": run.tags.get(labels_and_tags.TAG_CONTAINER_ID, ""),
        "tracking_uri": without_credentials(attached.tracking_uri),
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
