"""The experiment that a run goes to."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from container_backend.errors import InvalidConfig

if TYPE_CHECKING:
    import mlflow
    from mlflow.tracking import MlflowClient


_logger = logging.getLogger(__package__)
# How long what is known of an experiment is relied on.
_KNOWN_SECONDS = 5.0


class _Known(NamedTuple):
    experiment: mlflow.entities.Experiment
    at: float


# By the address of the store and the experiment's id.
_experiments: dict[tuple[str, str], _Known] = {}


def find_experiment(
    client: MlflowClient, wanted: Experiment, *, create: bool
) -> mlflow.entities.Experiment | None:
    """An experiment, and where its artifacts go.

    Args:
        client: Of the tracking store.
        wanted: Which.
        create: Whether one that is named and not there is made.

    Returns:
        None for one that is not there and not made.

    Raises:
        InvalidConfig: Both id and name are given, or there is no experiment of that id.
    """
    if wanted.id and wanted.name:
        raise InvalidConfig(
            "Both an experiment's id and a name are given.", remedy="Give one of them."
        )
    if wanted.name:
        found = client.get_experiment_by_name(wanted.name)
        if found is None and create:
            _logger.info("=== Creating experiment '%s' ===", wanted.name)
            found = client.get_experiment(client.create_experiment(wanted.name))
        return found
    from mlflow.exceptions import MlflowException
    from mlflow.tracking.fluent import _get_experiment_id

    from container_backend.store.run import is_missing

    identifier = wanted.id or str(_get_experiment_id())
    try:
        return _experiment(client, identifier)
    except MlflowException as error:
        if not is_missing(error):
            raise
        raise InvalidConfig(f"There is no experiment with the id '{identifier}'.") from error


def _experiment(client: MlflowClient, identifier: str) -> mlflow.entities.Experiment:
    """An experiment by its id, or what was known of it a moment ago.

    Where its artifacts go does not change; that it was deleted, the store says when a run is made.
    """
    key, now = (client.tracking_uri, identifier), time.monotonic()
    known = _experiments.get(key)
    if known is not None and now - known.at < _KNOWN_SECONDS:
        return known.experiment
    found = client.get_experiment(identifier)
    _experiments[key] = _Known(found, now)
    return found


@dataclass(frozen=True)
class Experiment:
    """Where the run goes: by id or by name; MLflow's default when neither is given."""

    id: str | None = None
    name: str | None = None
