"""Finding a run again: by the beginning of its id, on the engine or in the tracking store."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import mlflow
from mlflow.exceptions import MlflowException

from container_backend import record
from container_backend.container_use import ambiguous, check_run_id, find_container
from container_backend.engine import connect, find_host
from container_backend.errors import EngineUnavailable, InvalidInput
from container_backend.masking import without_credentials
from container_backend.names import TAG_CONTAINER_ID
from container_backend.store_access import open_store, store_address
from container_backend.submitted import ContainerRun
from container_backend.tracking import absolute_uri

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from container_backend.run_container import RunContainer

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
    with record.reaching(uri):
        if len(prefix) == _WHOLE_ID_CHARACTERS:
            try:
                return client.get_run(prefix)
            except MlflowException as error:
                if not record.is_missing(error):
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
