"""The experiment that a run goes to."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from container_backend.errors import InvalidConfig
from container_backend.store.client import alone_in_store, default_experiment

if TYPE_CHECKING:
    from container_backend.store.client import Store, StoredExperiment

_logger = logging.getLogger(__package__)
# How long a known experiment is not asked for again.
_KNOWN_SECONDS: Final = 5.0
# Address of the store, id → experiment, and the time when it was asked for.
_experiments: Final[dict[tuple[str, str], tuple[StoredExperiment, float]]] = {}


@dataclass(frozen=True)
class Experiment:
    """The experiment of a run, by id or by name; MLflow's default if both are None."""

    id: str | None = None
    name: str | None = None


def find_experiment(store: Store, wanted: Experiment, *, create: bool) -> StoredExperiment | None:
    """Find an experiment, or create a missing one of that name if ``create`` is set.

    Returns:
        None for an experiment that is missing and not created.

    Raises:
        InvalidConfig: Both id and name are given, the variables name two experiments, there is no
            experiment of that id, or it is deleted.
    """
    found = _find_or_create(store, wanted, create=create)
    if found is not None and found.is_deleted:
        raise InvalidConfig(
            f"The experiment '{found.name}' is deleted.",
            remedy=f"Restore it (`mlflow experiments restore -x {found.experiment_id}`), or use another "
            "name.",
        )
    return found


def _find_or_create(store: Store, wanted: Experiment, *, create: bool) -> StoredExperiment | None:
    if wanted.id and wanted.name:
        raise InvalidConfig(
            "Both the id and the name of an experiment are given.", remedy="Give one of them."
        )
    if not (wanted.id or wanted.name):
        wanted = Experiment(*default_experiment())
    if wanted.name:
        found = store.find_experiment_named(wanted.name)
        if found is None and create:
            found = _create(store, wanted.name)
        if found is not None and wanted.id not in {None, found.experiment_id}:
            raise InvalidConfig(
                f"MLFLOW_EXPERIMENT_ID is {wanted.id}, and MLFLOW_EXPERIMENT_NAME, '{wanted.name}', has the "
                f"id {found.experiment_id}.",
                remedy="Unset one of them.",
            )
        return found
    assert wanted.id is not None  # noqa: S101 the default has an id or a name
    found = _find(store, wanted.id)
    if found is None:
        raise InvalidConfig(f"There is no experiment with the id '{wanted.id}'.")
    return found


def _create(store: Store, name: str) -> StoredExperiment:
    """A folder takes two experiments of one name, so one process at a time looks and creates."""
    with alone_in_store(store.tracking_uri, "create experiments"):
        if (found := store.find_experiment_named(name)) is not None:
            return found
        _logger.info("=== Creating experiment '%s' ===", name)
        return store.create_experiment(name)


def _find(store: Store, identifier: str) -> StoredExperiment | None:
    """An experiment by its id, remembered for some seconds.

    Its artifact address never changes, and the store itself refuses runs of a deleted experiment.
    """
    key, now = (store.tracking_uri, identifier), time.monotonic()
    known = _experiments.get(key)
    if known is not None and now - known[1] < _KNOWN_SECONDS:
        return known[0]
    found = store.find_experiment(identifier)
    if found is not None:
        _experiments[key] = found, now
    return found
