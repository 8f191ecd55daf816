"""A store that is asked by MLflow's client."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import mlflow.entities
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from container_backend.container import local_path
from container_backend.errors import TrackingUnreachable
from container_backend.masking import without_credentials
from container_backend.store.client.connecting import alone_in_store, turn_to_write
from container_backend.store.client.store import EXISTING, MISSING, Store, refused
from container_backend.store.client.stored import StoredExperiment, StoredRun

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from container_backend.store.client.stored import Metric


class MlflowStore(Store):
    """The tracking store at an address, by whatever way MLflow knows."""

    def __init__(self, tracking_uri: str) -> None:
        """Open the store; a missing one on this machine's disk is made."""
        super().__init__(tracking_uri)
        with self._asking(), alone_in_store(tracking_uri):
            self._client = MlflowClient(tracking_uri)

    def find_experiment(self, experiment_id: str) -> StoredExperiment | None:
        with self._asking(), _but(MISSING):
            return _stored_experiment(self._client.get_experiment(experiment_id))
        return None

    def find_experiment_named(self, name: str) -> StoredExperiment | None:
        with self._asking():
            found = self._client.get_experiment_by_name(name)
            return None if found is None else _stored_experiment(found)

    def create_run(
        self, experiment_id: str, tags: Mapping[str, str], name: str | None = None
    ) -> StoredRun:
        with self._writing():
            made = self._client.create_run(experiment_id, tags=dict(tags), run_name=name)
            return _stored_run(made)

    def _create_experiment(self, name: str) -> None:
        with self._asking(), _but(EXISTING):
            self._client.create_experiment(name)

    def _run(self, run_id: str) -> StoredRun | None:
        with self._asking(), _but(MISSING):
            return _stored_run(self._client.get_run(run_id))
        return None

    def _runs(self, experiment_ids: list[str], query: str, most: int) -> list[StoredRun]:
        with self._asking():
            found = self._client.search_runs(experiment_ids, query, max_results=most)
            return [_stored_run(run) for run in found]

    def _experiments(self) -> list[str]:
        with self._asking():
            return [each.experiment_id for each in self._client.search_experiments()]

    def _log(
        self,
        run_id: str,
        *,
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        metrics: Sequence[Metric] = (),
    ) -> None:
        with self._writing():
            self._client.log_batch(
                run_id,
                [mlflow.entities.Metric(*each) for each in metrics],
                [mlflow.entities.Param(*each) for each in (parameters or {}).items()],
                [mlflow.entities.RunTag(*each) for each in (tags or {}).items()],
            )

    def _update(self, run_id: str, status: str, ended_at: int | None = None) -> None:
        with self._writing():
            if ended_at is None:
                self._client.update_run(run_id, status=status)
            else:  # prints the link to the run
                self._client.set_terminated(run_id, status=status, end_time=ended_at)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._asking(), turn_to_write(self.tracking_uri):
            yield

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            raise refused(self.tracking_uri, str(error)) from error


@contextmanager
def _but(code: str) -> Iterator[None]:
    """Raise errors of MLflow but those with a code."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def _stored_run(run: mlflow.entities.Run) -> StoredRun:
    info, data = run.info, run.data
    return StoredRun(
        run_id=str(info.run_id),
        name=str(info.run_name or ""),
        experiment_id=str(info.experiment_id),
        artifact_uri=str(info.artifact_uri),
        status=str(info.status),
        is_deleted=info.lifecycle_stage == "deleted",
        started_at=info.start_time / 1000 if info.start_time else None,
        ended_at=info.end_time / 1000 if info.end_time else None,
        tags=dict(data.tags),
        parameters=dict(data.params),
        metrics=dict(data.metrics),
    )


def _stored_experiment(experiment: mlflow.entities.Experiment) -> StoredExperiment:
    return StoredExperiment(
        str(experiment.experiment_id),
        str(experiment.name),
        str(experiment.artifact_location),
        is_deleted=experiment.lifecycle_stage == "deleted",
    )


def open_with_mlflow(tracking_uri: str) -> MlflowStore:
    """Open a store that exists; MLflow itself would create a missing one.

    Raises:
        TrackingUnreachable: The store is a file or a folder that is missing on this machine.
    """
    path = local_path(tracking_uri)
    if path is not None and not path.exists():
        raise TrackingUnreachable(
            f"The tracking store '{without_credentials(tracking_uri)}' is not on this machine.",
            remedy="Check MLFLOW_TRACKING_URI and the current directory. Runs that are followed "
            "from several machines need a tracking server.",
        )
    return MlflowStore(tracking_uri)
