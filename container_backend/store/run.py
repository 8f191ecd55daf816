"""The MLflow run of a project: created, described, and brought to an end."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlflow
from mlflow.exceptions import MlflowException

from container_backend import labels_and_tags
from container_backend.container import (
    CAUSE_CANCELLED,
    CAUSE_NOT_STARTED,
    FAILED,
    KILLED,
    Outcome,
    local_path,
)
from container_backend.errors import ContainerBackendError, InvalidProject, TrackingUnreachable
from container_backend.machine import FileLock, state_folder
from container_backend.masking import without_credentials
from container_backend.project import read_checkout, source_name
from container_backend.store.mlflow_api import check_parameter_name, user_name
from container_backend.store.reach import is_listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from container_backend.project import Checkout, Repository
    from container_backend.store.client import Store, StoredRun

_logger = logging.getLogger(__package__)


@dataclass
class RunRecord:
    """A run of ours in its store, to write to.

    Attributes:
        run: As it was found or created.
        status: As this process knows it; None where it does not.
    """

    store: Store
    run: StoredRun
    status: str | None = None

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.run.run_id

    def say_status(self, status: str) -> None:
        """Set a status that is not the last, if it is another one.

        A store that does not take it now may do so at the end.
        """
        if status == self.status:
            return
        try:
            if is_listening(self.store.tracking_uri):
                self.store.set_status(self.run_id, status)
                self.status = status
        except TrackingUnreachable as error:
            _logger.warning(
                "Run (ID '%s') could not be set to %s: %s", self.run_id, status, error.message
            )

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, in one request."""
        self.store.set_tags(self.run_id, tags)

    def log_artifact(self, file: Path, folder: str) -> None:
        """Log a file. Raises what the artifact store raises."""
        self.store.log_artifact(self.run, file, folder)

    def log_artifacts(self, folder: Path) -> None:
        """Log the content of a folder. Raises what the artifact store raises."""
        self.store.log_artifacts(self.run, folder)

    def finish(
        self, outcome: Outcome, ended_at: float | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        """Bring the run to its end: reason and exit code as tags, then the status.

        Doing so twice changes nothing.

        Args:
            outcome: How it ended.
            ended_at: When, in seconds since 1970; now by default.
            tags: More of them.
        """
        tags = dict(tags or {})
        if outcome.reason:
            tags[labels_and_tags.TAG_REASON] = outcome.reason
        if outcome.cause:
            tags[labels_and_tags.TAG_CAUSE] = outcome.cause
        if outcome.exit_code is not None:
            tags[labels_and_tags.TAG_EXIT_CODE] = str(outcome.exit_code)
        if outcome.out_of_memory:
            tags[labels_and_tags.TAG_OUT_OF_MEMORY] = "true"
        if tags:
            self.set_tags(tags)
        self.store.end_run(self.run_id, outcome.status, ended_at)


@contextmanager
def alone_in_store(tracking_uri: str) -> Iterator[None]:
    """Keep other processes of this user from a store on this machine's disk for a moment.

    MLflow makes such a store by looking at it; two processes at once get in each other's way.
    """
    if local_path(tracking_uri) is None:
        yield
        return
    name = hashlib.sha256(tracking_uri.encode()).hexdigest()[:12]
    with FileLock(state_folder() / "stores" / name, "another process that opens the store") as lock:
        lock.own()
        yield


def check_parameters(parameters: Mapping[str, str]) -> None:
    """Refuse names that MLflow cannot log, before there is a run.

    Raises:
        InvalidProject: A name is not one that MLflow takes.
    """
    for name in parameters:
        try:
            check_parameter_name(name)
        except MlflowException as error:
            raise InvalidProject(
                f"The parameter '{name}' cannot be logged: {error.message}"
            ) from error


def create_run(
    store: Store,
    experiment_id: str,
    *,
    uri: str,
    repository: Repository | None,
    directory: Path,
    version: str | None,
    entry_point: str,
    parameters: Mapping[str, str],
    tags: Mapping[str, str],
    run_name: str | None = None,
) -> RunRecord:
    """Create a run with the tags of ``mlflow.projects.utils._create_run``; it is RUNNING.

    That function itself logs parameters quoted for a shell, which cannot be changed afterwards,
    and asks git in a way that runs programs which a repository names.
    """
    checkout = read_checkout(repository, directory, version)
    tags = {**_source_tags(uri, checkout, version, entry_point), **tags}
    run = store.create_run(experiment_id, tags, run_name)
    record = RunRecord(store, run, run.status)
    with ending_on_error(record):
        store.log_parameters(run.run_id, parameters)
    return record


def _source_tags(
    uri: str, checkout: Checkout, version: str | None, entry_point: str
) -> dict[str, str]:
    active = mlflow.active_run()
    tags = {
        labels_and_tags.MLFLOW_USER: _user(),
        labels_and_tags.MLFLOW_SOURCE_NAME: without_credentials(source_name(uri)),
        labels_and_tags.MLFLOW_SOURCE_TYPE: "PROJECT",
        labels_and_tags.MLFLOW_ENTRY_POINT: entry_point,
        labels_and_tags.MLFLOW_GIT_COMMIT: checkout.commit,
        labels_and_tags.MLFLOW_GIT_ADDRESS: checkout.address,
        labels_and_tags.MLFLOW_GIT_BRANCH: version if checkout.is_branch else None,
        labels_and_tags.MLFLOW_PARENT_RUN: active.info.run_id if active is not None else None,
    }
    return {key: str(value) for key, value in tags.items() if value}


def _user() -> str:
    """The user's name as MLflow finds it; the number of a user without a name, as in many pods."""
    try:
        return user_name()
    except (KeyError, OSError):
        return str(os.getuid())


@contextmanager
def ending_on_error(record: RunRecord, then: Callable[[], object] = lambda: None) -> Iterator[None]:
    """An error inside ends the run, with the reason: no run stays scheduled.

    Args:
        record: Of the run.
        then: Called when the end is written down.
    """
    try:
        yield
    except BaseException as error:
        _end(record, _outcome_of_error(error), then)
        raise


def _outcome_of_error(error: BaseException) -> Outcome:
    if isinstance(error, KeyboardInterrupt):
        reason = "interrupted before the program was started"
        return Outcome(KILLED, reason, cause=CAUSE_CANCELLED)
    said = isinstance(error, ContainerBackendError)
    reason = str(error) if said else without_credentials(f"{type(error).__name__}: {error}")
    return Outcome(FAILED, reason, cause=CAUSE_NOT_STARTED)


def _end(record: RunRecord, outcome: Outcome, then: Callable[[], object]) -> None:
    """A store that cannot be written to must not hide what went wrong before."""
    try:
        record.finish(outcome)
        then()
    except (TrackingUnreachable, OSError) as error:
        _logger.warning(
            "Run (ID '%s') could not be set to %s: %s",
            record.run_id,
            outcome.status,
            without_credentials(str(error)),
        )
