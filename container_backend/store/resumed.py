"""A run that exists and goes on: ``--run-id``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.container import TERMINAL
from container_backend.errors import InvalidConfig
from container_backend.store.experiment import Experiment, find_experiment

if TYPE_CHECKING:
    from container_backend.store.client import Store, StoredExperiment, StoredRun

_RUN_ID: Final = re.compile(r"[0-9a-f]{32}")
_NEW: Final = "Without an id, a new run is made."
# Tags that a run has from its last end on; the first two are those of every end.
_OF_AN_END: Final = (
    labels_and_tags.TAG_EXIT_CODE,
    labels_and_tags.TAG_CAUSE,
    labels_and_tags.TAG_REASON,
    labels_and_tags.TAG_OUT_OF_MEMORY,
    labels_and_tags.TAG_ATTEMPTS,
    labels_and_tags.TAG_CONTAINER_ID,
)


def find_place(
    store: Store, wanted: Experiment, run_id: str | None, *, create: bool = True
) -> tuple[StoredExperiment | None, StoredRun | None]:
    """The experiment of a run, and the run if it exists already.

    Args:
        wanted: What the caller names.
        run_id: Of the run that goes on; None for a new run.
        create: A missing experiment of a new run is created.

    Returns:
        No experiment if it is missing and not created; no run if it is new.

    Raises:
        InvalidConfig: As :func:`find_experiment`; the run is missing, deleted, under way or in another
            experiment than the one that is named.
    """
    if run_id is None:
        return find_experiment(store, wanted, create=create), None
    run = store.find_run(run_id) if _RUN_ID.fullmatch(run_id) else None
    if run is None:
        raise InvalidConfig(
            f"There is no run '{run_id}' to go on with.",
            remedy=f"Give the whole id, and check MLFLOW_TRACKING_URI. {_NEW}",
        )
    if run.is_deleted:
        raise InvalidConfig(
            f"The run '{run_id}' is deleted.",
            remedy=f"Restore it (`mlflow runs restore --run-id {run_id}`). {_NEW}",
        )
    if (
        run.status not in TERMINAL
        and run.tags.get(labels_and_tags.TAG_SUBMISSION)
        and not has_end(run)
    ):
        raise InvalidConfig(
            f"The run '{run_id}' was started already, and has not ended.",
            remedy=f"Wait for it (`container-backend wait {run_id[:12]}`), or cancel it. If the machine that "
            f"runs it is gone for good, end it: `mlflow.MlflowClient().set_terminated('{run_id}', 'FAILED')`.",
        )
    found = find_experiment(store, Experiment(run.experiment_id), create=False)
    _check_experiment(store, wanted, run, found)
    return found, run


def _check_experiment(
    store: Store, wanted: Experiment, run: StoredRun, its: StoredExperiment | None
) -> None:
    if not (wanted.id or wanted.name):
        return
    named = find_experiment(store, wanted, create=False)
    if named is None or named.experiment_id != run.experiment_id:
        raise InvalidConfig(
            f"The run '{run.run_id}' is in the experiment '{its.name if its else run.experiment_id}', not in "
            f"'{named.name if named else wanted.name}'.",
            remedy="Leave out the experiment.",
        )


def check_unchanged(store: Store, run: StoredRun) -> None:
    """Check that no other process goes on with a run since it was found, nor has it been deleted.

    Raises:
        InvalidConfig: One does, or it has.
    """
    now = store.find_run(run.run_id)
    tag = labels_and_tags.TAG_SUBMISSION
    if now is None or now.is_deleted or now.tags.get(tag) != run.tags.get(tag):
        raise InvalidConfig(
            f"The run '{run.run_id}' was deleted, or another process goes on with it by now.",
            remedy=f"See `container-backend status {run.run_id[:12]}`.",
        )


def has_end(run: StoredRun) -> bool:
    """True if this package has written an end of the run, and the run did not go on after that."""
    return any(run.tags.get(name) for name in _OF_AN_END[:2])


def tags_without_end(run: StoredRun) -> dict[str, str]:
    """What clears the tags of the last end: a store takes no tag away in the request that sets others."""
    return {name: "" for name in _OF_AN_END if run.tags.get(name)}
