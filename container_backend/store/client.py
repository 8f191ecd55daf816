"""The client of MLflow's tracking store, with this package's own types and errors."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlflow.entities import Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from container_backend.container import local_path
from container_backend.errors import TrackingUnreachable
from container_backend.masking import without_credentials
from container_backend.store.connecting import turn_to_write
from container_backend.store.mlflow_api import (
    artifact_repository,
    default_experiment_id,
    is_missing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlflow.entities import Experiment, Metric, Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

# https://mlflow.org/docs/latest/rest-api.html#log-batch: at most 100 parameters and 1000 metrics.
_PARAMS_PER_REQUEST: Final = 100
_METRICS_PER_REQUEST: Final = 1000
# What every store accepts (mlflow.utils.validation.MAX_TAG_VAL_LENGTH was 5000, is 8000).
_TAG_CHARACTERS: Final = 5000


@dataclass(frozen=True)
class StoredRun:
    """A run as its store has it.

    Attributes:
        started_at: Seconds since 1970.
        ended_at: Seconds since 1970; None for an active run.
        metrics: Name → last value.
    """

    run_id: str
    name: str
    experiment_id: str
    artifact_uri: str
    status: str
    is_deleted: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredExperiment:
    experiment_id: str
    name: str
    artifact_uri: str


def open_store(tracking_uri: str) -> Store:
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
    return Store(tracking_uri)


class Store:
    """The tracking store at an address.

    Methods raise TrackingUnreachable if the store does not answer or refuses. Methods for
    artifacts raise the errors of the artifact store, of any class.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri
        with self._asking():
            self._client = MlflowClient(tracking_uri)

    def find_run(self, run_id: str, artifact_uri: str = "") -> StoredRun | None:
        """A run, also a deleted one; None if it is missing.

        Args:
            artifact_uri: The address of its artifacts as known from its creation. A program with
                access to the store can change what the store says.
        """
        with self._asking(), _missing_is_none():
            found = _stored_run(self._client.get_run(run_id))
            return replace(found, artifact_uri=artifact_uri) if artifact_uri else found
        return None

    def runs_beginning_with(self, prefix: str, most: int) -> list[StoredRun]:
        """Runs of any experiment by the first characters of their ids."""
        with self._asking():
            experiments = [each.experiment_id for each in self._client.search_experiments()]
            found = self._client.search_runs(
                experiments, f"attributes.run_id LIKE '{prefix}%'", max_results=most
            )
            return [_stored_run(run) for run in found]

    def runs_with_tag(self, experiment_id: str, tag: str, value: str) -> list[StoredRun]:
        """Runs of an experiment that are not deleted."""
        with self._asking():
            found = self._client.search_runs([experiment_id], f"tags.`{tag}` = '{value}'")
            return [_stored_run(run) for run in found]

    def default_experiment_id(self) -> str:
        """The experiment that MLflow logs to in this process."""
        with self._asking():
            return default_experiment_id()

    def find_experiment(self, experiment_id: str) -> StoredExperiment | None:
        with self._asking(), _missing_is_none():
            return _stored_experiment(self._client.get_experiment(experiment_id))
        return None

    def find_experiment_named(self, name: str) -> StoredExperiment | None:
        with self._asking():
            found = self._client.get_experiment_by_name(name)
            return None if found is None else _stored_experiment(found)

    def create_experiment(self, name: str) -> StoredExperiment:
        with self._asking():
            made = self._client.create_experiment(name)
            return _stored_experiment(self._client.get_experiment(made))

    def create_run(
        self, experiment_id: str, tags: Mapping[str, str], name: str | None = None
    ) -> StoredRun:
        """Create a run with the status RUNNING."""
        with self._writing():
            made = self._client.create_run(experiment_id, tags=dict(tags), run_name=name)
            return _stored_run(made)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags in one request; long values are cut."""
        items = [RunTag(key, value[:_TAG_CHARACTERS]) for key, value in tags.items()]
        with self._writing():
            self._client.log_batch(run_id, tags=items)

    def set_status(self, run_id: str, status: str) -> None:
        """Set the status of an active run."""
        with self._writing():
            self._client.update_run(run_id, status=status)

    def end_run(self, run_id: str, status: str, ended_at: float | None) -> None:
        """Set the final status; ``ended_at`` is in seconds since 1970, default: now."""
        end_time = None if ended_at is None else int(ended_at * 1000)
        with self._writing():
            self._client.set_terminated(run_id, status=status, end_time=end_time)

    def log_parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        items = [Param(name, value) for name, value in parameters.items()]
        for start in range(0, len(items), _PARAMS_PER_REQUEST):
            with self._writing():
                self._client.log_batch(run_id, params=items[start : start + _PARAMS_PER_REQUEST])

    def log_metrics(self, run_id: str, metrics: Sequence[Metric]) -> None:
        for start in range(0, len(metrics), _METRICS_PER_REQUEST):
            with self._writing():
                self._client.log_batch(
                    run_id, metrics=metrics[start : start + _METRICS_PER_REQUEST]
                )

    def log_artifact(self, run: StoredRun, file: Path, folder: str) -> None:
        _refuse_links(run, [f"{folder}/{file.name}"])
        self._artifacts(run).log_artifact(str(file), folder)

    def log_artifacts(self, run: StoredRun, folder: Path) -> None:
        files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        _refuse_links(run, map(str, files))
        self._artifacts(run).log_artifacts(str(folder))

    def artifact_paths(self, run: StoredRun, folder: str) -> set[str]:
        """The paths of the artifacts in a folder."""
        return {str(each.path) for each in self._artifacts(run).list_artifacts(folder)}

    def download(self, run: StoredRun, path: str, folder: str) -> Path:
        """Download an artifact into a folder, and return its path there."""
        return Path(self._artifacts(run).download_artifacts(path, folder))

    def _artifacts(self, run: StoredRun) -> ArtifactRepository:
        return artifact_repository(run.artifact_uri, self.tracking_uri)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._asking(), turn_to_write(self.tracking_uri):
            yield

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            raise TrackingUnreachable(
                f"The tracking store '{without_credentials(self.tracking_uri)}' cannot be used: "
                f"{str(error).strip()}",
                remedy="Check MLFLOW_TRACKING_URI, and that the server is up.",
            ) from error


def _refuse_links(run: StoredRun, files: Iterable[str]) -> None:
    """Raise OSError if a file would be written through a link, which a program may have made.

    Args:
        files: Paths below the artifacts of the run.
    """
    root = local_path(run.artifact_uri)
    if root is None:
        return
    # STORE/EXPERIMENT/RUN/artifacts: the store itself may be a link of the user's.
    above = set(root.parents[2:])
    for file in files:
        below = root / file
        for path in {below, *below.parents} - above:
            if path.is_symlink():
                raise OSError(f"'{path}' is a link; nothing is written through it")


@contextmanager
def _missing_is_none() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if not is_missing(error):
            raise


def _stored_run(run: Run) -> StoredRun:
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


def _stored_experiment(experiment: Experiment) -> StoredExperiment:
    return StoredExperiment(
        str(experiment.experiment_id), str(experiment.name), str(experiment.artifact_location)
    )
