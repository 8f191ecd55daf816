"""What is asked of a tracking store, whichever way it is reached."""

from __future__ import annotations

import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol

from container_backend.container import local_path
from container_backend.errors import TrackingUnreachable
from container_backend.labels_and_tags import TEMPORARY_PREFIX
from container_backend.masking import without_credentials
from container_backend.store.client.local_artifacts import LocalArtifacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from container_backend.store.client.stored import Metric, StoredExperiment, StoredRun

# https://mlflow.org/docs/latest/rest-api.html#log-batch: at most 100 parameters and 1000 metrics.
_PARAMS_PER_REQUEST: Final = 100
_METRICS_PER_REQUEST: Final = 1000
# What every store accepts (mlflow.utils.validation.MAX_TAG_VAL_LENGTH was 5000, is 8000).
_TAG_CHARACTERS: Final = 5000
# Error codes of MLflow: https://mlflow.org/docs/latest/rest-api.html.
MISSING: Final = "RESOURCE_DOES_NOT_EXIST"
EXISTING: Final = "RESOURCE_ALREADY_EXISTS"


class Artifact(Protocol):
    @property
    def path(self) -> str: ...


class Artifacts(Protocol):
    """The verbs of MLflow's ``ArtifactRepository``; paths are relative to the artifacts of a run."""

    def log_artifact(self, local_file: str, artifact_path: str) -> None: ...

    def log_artifacts(self, local_dir: str) -> None: ...

    def list_artifacts(self, path: str) -> Sequence[Artifact]: ...

    def download_artifacts(self, artifact_path: str, dst_path: str) -> str: ...


class Store(ABC):
    """The tracking store at an address.

    Methods raise TrackingUnreachable if the store does not answer or refuses. Methods for
    artifacts raise the errors of the artifact store, of any class.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri

    def find_run(self, run_id: str, artifact_uri: str = "") -> StoredRun | None:
        """A run, also a deleted one; None if it is missing.

        Args:
            artifact_uri: The address of its artifacts as known from its creation. A program with
                access to the store can change what the store says.
        """
        found = self._run(run_id)
        return replace(found, artifact_uri=artifact_uri) if found and artifact_uri else found

    def runs_beginning_with(self, prefix: str, most: int) -> list[StoredRun]:
        """Runs of any experiment by the first characters of their ids."""
        return self._runs(self._experiments(), f"attributes.run_id LIKE '{prefix}%'", most)

    def runs_with_tag(self, experiment_id: str, tag: str, value: str) -> list[StoredRun]:
        """Runs of an experiment that are not deleted."""
        return self._runs([experiment_id], f"tags.`{tag}` = '{value}'", 1000)

    @abstractmethod
    def find_experiment(self, experiment_id: str) -> StoredExperiment | None: ...

    @abstractmethod
    def find_experiment_named(self, name: str) -> StoredExperiment | None: ...

    def create_experiment(self, name: str) -> StoredExperiment:
        """Create an experiment, or find the one that another process has created just now."""
        self._create_experiment(name)
        found = self.find_experiment_named(name)
        assert found is not None  # noqa: S101 it was made, here or elsewhere
        return found

    @abstractmethod
    def create_run(
        self, experiment_id: str, tags: Mapping[str, str], name: str | None = None
    ) -> StoredRun:
        """Create a run with the status RUNNING."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags in one request; long values are cut."""
        cut = {key: value[:_TAG_CHARACTERS] for key, value in tags.items()}
        self._log(run_id, tags=cut)

    def set_status(self, run_id: str, status: str) -> None:
        """Set the status of an active run."""
        self._update(run_id, status)

    def end_run(self, run_id: str, status: str, ended_at: float | None) -> None:
        """Set the final status; ``ended_at`` is in seconds since 1970, default: now."""
        self._update(run_id, status, int((time.time() if ended_at is None else ended_at) * 1000))

    def log_parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        items = list(parameters.items())
        for start in range(0, len(items), _PARAMS_PER_REQUEST):
            self._log(run_id, parameters=dict(items[start : start + _PARAMS_PER_REQUEST]))

    def log_metrics(self, run_id: str, metrics: Sequence[Metric]) -> None:
        for start in range(0, len(metrics), _METRICS_PER_REQUEST):
            self._log(run_id, metrics=metrics[start : start + _METRICS_PER_REQUEST])

    def log_artifact(self, run: StoredRun, file: Path, folder: str) -> None:
        self._artifacts(run).log_artifact(str(file), folder)

    def log_files(self, run: StoredRun, files: Mapping[str, IO[bytes]]) -> None:
        """Log the whole content of open files by their paths among the artifacts."""
        for content in files.values():
            content.seek(0)
        artifacts = self._artifacts(run)
        if isinstance(artifacts, LocalArtifacts):
            for path, content in files.items():
                artifacts.write(content, path)
            return
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as folder:
            for path, content in files.items():
                file = Path(folder, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("wb") as copy:
                    shutil.copyfileobj(content, copy)
            artifacts.log_artifacts(folder)

    def artifact_paths(self, run: StoredRun, folder: str) -> set[str]:
        """The paths of the artifacts in a folder."""
        return {str(each.path) for each in self._artifacts(run).list_artifacts(folder)}

    def download(self, run: StoredRun, path: str, folder: str) -> Path:
        """Download an artifact into a folder, and return its path there."""
        return Path(self._artifacts(run).download_artifacts(path, folder))

    def _artifacts(self, run: StoredRun) -> Artifacts | LocalArtifacts:
        if (root := local_path(run.artifact_uri)) is not None:
            return LocalArtifacts(root)
        from container_backend.store.client.mlflow_api import artifact_repository

        found: Artifacts = artifact_repository(run.artifact_uri, self.tracking_uri)
        return found

    @abstractmethod
    def _create_experiment(self, name: str) -> None:
        """Create an experiment, unless there is one of that name."""

    @abstractmethod
    def _run(self, run_id: str) -> StoredRun | None: ...

    @abstractmethod
    def _runs(self, experiment_ids: list[str], query: str, most: int) -> list[StoredRun]: ...

    @abstractmethod
    def _experiments(self) -> list[str]: ...

    @abstractmethod
    def _log(
        self,
        run_id: str,
        *,
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        metrics: Sequence[Metric] = (),
    ) -> None: ...

    @abstractmethod
    def _update(self, run_id: str, status: str, ended_at: int | None = None) -> None: ...


def refused(tracking_uri: str, why: str) -> TrackingUnreachable:
    """The error of a store that does not answer, or refuses."""
    return TrackingUnreachable(
        f"The tracking store '{without_credentials(tracking_uri)}' cannot be used: {why.strip()}",
        remedy="Check MLFLOW_TRACKING_URI, and that the server is up.",
    )
