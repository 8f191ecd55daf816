"""The experiment that a run goes to."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from container_backend.errors import InvalidConfig

if TYPE_CHECKING:
    from container_backend.store.client import Store, StoredExperiment

_logger = logging.getLogger(__package__)
# For so long, what is known of an experiment is relied on.
_KNOWN_SECONDS = 5.0


class _Known(NamedTuple):
    experiment: StoredExperiment
    at: float


# By the address of the store and the experiment's id.
_experiments: dict[tuple[str, str], _Known] = {}


@dataclass(frozen=True)
class Experiment:
    """Where the run goes: by id or by name; MLflow's default when neither is given."""

    id: str | None = None
    name: str | None = None


def find_experiment(store: Store, wanted: Experiment, *, create: bool) -> StoredExperiment | None:
    """An experiment, and where its artifacts go.

    Args:
        store: Where the experiment is.
        wanted: By id, by name or by default.
        create: Create an experiment that is named and missing.

    Returns:
        None for an experiment that is missing and not created.

    Raises:
        InvalidConfig: Both id and name are given, or there is no experiment of that id.
    """
    if wanted.id and wanted.name:
        raise InvalidConfig(
            "Both an experiment's id and a name are given.", remedy="Give one of them."
        )
    if wanted.name:
        found = store.find_experiment_named(wanted.name)
        if found is None and create:
            _logger.info("=== Creating experiment '%s' ===", wanted.name)
            found = store.create_experiment(wanted.name)
        return found
    identifier = wanted.id or store.default_experiment_id()
    found = _find(store, identifier)
    if found is None:
        raise InvalidConfig(f"There is no experiment with the id '{identifier}'.")
    return found


def _find(store: Store, identifier: str) -> StoredExperiment | None:
    """An experiment by its id, or what was known of it a moment ago.

    Where its artifacts go does not change; the store refuses a run in a deleted experiment.
    """
    key, now = (store.tracking_uri, identifier), time.monotonic()
    known = _experiments.get(key)
    if known is not None and now - known.at < _KNOWN_SECONDS:
        return known.experiment
    found = store.find_experiment(identifier)
    if found is not None:
        _experiments[key] = _Known(found, now)
    return found
