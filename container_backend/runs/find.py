"""Finding a run again: by the beginning of its id, on the engine or in the tracking store."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException

from container_backend import naming
from container_backend.container import (
    RUNNING,
    absolute_uri,
    ambiguous,
    check_run_id,
    find_container,
)
from container_backend.engine import connect, find_host
from container_backend.errors import EngineUnavailable, InvalidInput
from container_backend.machine import exit_code_of
from container_backend.masking import without_credentials
from container_backend.naming import TAG_CONTAINER_ID
from container_backend.runs.handle import ContainerRun
from container_backend.store import duration, is_missing, open_store, reaching, store_address

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from container_backend.container import RunContainer
    from container_backend.engine import Engine

_WHOLE_ID_CHARACTERS = 32


def attach(run_id: str) -> ContainerRun:
    """A run that was started before, here or on another machine, on the engine of the environment.

    Args:
        run_id: Its id, or the beginning of one.

    Raises:
        InvalidInput: There is no such run, or there are several.
        TrackingUnreachable: It is not on the engine, and the tracking store does not answer.
    """
    prefix = check_run_id(run_id)
    host = find_host()
    found = _on_engine(prefix)
    if found is not None:
        uri = _store_of(found)
        return ContainerRun(host, uri, found.run_id, found.id)
    uri = absolute_uri(mlflow.get_tracking_uri())
    run = _in_store(open_store(uri), uri, prefix)
    return ContainerRun(host, uri, run.info.run_id, run.data.tags.get(TAG_CONTAINER_ID))


def _on_engine(prefix: str) -> RunContainer | None:
    try:
        with closing(connect()) as engine:
            return find_container(engine, prefix)
    except EngineUnavailable:
        return None  # the store may know it


def _store_of(found: RunContainer) -> str:
    """The run's store as this process knows it, or else as its container does."""
    own = absolute_uri(mlflow.get_tracking_uri())
    if without_credentials(own) == found.tracking_uri:
        return own
    return store_address(found.tracking_uri, found.environment)


def _in_store(client: MlflowClient, uri: str, prefix: str) -> mlflow.entities.Run:
    with reaching(uri):
        if len(prefix) == _WHOLE_ID_CHARACTERS:
            try:
                return client.get_run(prefix)
            except MlflowException as error:
                if not is_missing(error):
                    raise
                raise _unknown(prefix, uri) from error
        experiments = [each.experiment_id for each in client.search_experiments()]
        found = client.search_runs(
            experiments, f"attributes.run_id LIKE '{prefix}%'", max_results=6
        )
    if not found:
        raise _unknown(prefix, uri)
    if len(found) > 1:
        raise ambiguous(prefix, sorted(run.info.run_id for run in found))
    return found[0]


def _unknown(prefix: str, uri: str) -> InvalidInput:
    return InvalidInput(
        f"There is no run '{prefix}', neither on the engine nor in the tracking store "
        f"'{without_credentials(uri)}'.",
        remedy="List the runs with `container-backend ps -a`; check MLFLOW_TRACKING_URI.",
    )


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
        "status": RUNNING,
        "state": found.state.get("Status", ""),
        "reason": "it was asked to stop" if found.ending else "",
        "exit_code": None,
        "cause": "",
        "experiment": found.labels.get(naming.LABEL_EXPERIMENT, ""),
        "image": found.labels.get(naming.LABEL_IMAGE, ""),
        "started": _time(began),
        "ended": None,
        "duration": None if began is None else duration(max(0.0, time.time() - began)),
        "container": found.id,
        "tracking_uri": found.tracking_uri,
    }


def _of_run(run_id: str) -> dict[str, Any]:
    from container_backend.store import open_store, reaching

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
        "reason": tags.get(naming.TAG_REASON, ""),
        "exit_code": exit_code_of(tags.get(naming.TAG_EXIT_CODE)),
        "cause": tags.get(naming.TAG_CAUSE, ""),
        "experiment": experiment.name,
        "image": tags.get(naming.TAG_IMAGE, ""),
        "started": _time(began / 1000 if began else None),
        "ended": _time(ended / 1000 if ended else None),
        "duration": duration((ended - began) / 1000) if began and ended else None,
        "container": tags.get(naming.TAG_CONTAINER_ID, ""),
        "tracking_uri": without_credentials(attached.tracking_uri),
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
