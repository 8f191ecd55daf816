"""The MLflow run of a project: created, described, and brought to an end."""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow.entities import Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.utils import mlflow_tags as names
from mlflow.utils.validation import _validate_param_name

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
from container_backend.naming import TAG_CAUSE, TAG_EXIT_CODE, TAG_OUT_OF_MEMORY, TAG_REASON
from container_backend.project import git_address, read_checkout
from container_backend.store.reach import await_listener, is_listening, turn_to_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.tracking import MlflowClient

    from container_backend.project import Checkout, Repository

_logger = logging.getLogger(__package__)
# https://mlflow.org/docs/latest/rest-api.html#log-batch: at most 100 parameters a request.
_PARAMS_PER_REQUEST = 100
# The least that a store takes (mlflow.utils.validation.MAX_TAG_VAL_LENGTH was 5000, is 8000).
_TAG_CHARACTERS = 5000


@dataclass
class RunRecord:
    """A run in the tracking store.

    Attributes:
        client: Of the store.
        run_id: Of the run.
        experiment_id: Of the run.
        artifact_uri: Of its artifacts.
        status: As this process knows it; None where it does not.
    """

    client: MlflowClient
    run_id: str
    experiment_id: str
    artifact_uri: str
    status: str | None = None

    def say_status(self, status: str) -> None:
        """Set a status that is not the last, where it is another already.

        A store that does not take it now may do so at the end.
        """
        if status == self.status:
            return
        try:
            if is_listening(self.client.tracking_uri):
                with turn_to_write(self.client.tracking_uri):
                    self.client.update_run(self.run_id, status=status)
                self.status = status
        except MlflowException as error:
            _logger.warning("Run (ID '%s') could not be set to %s: %s", self.run_id, status, error)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, in one request."""
        items = [RunTag(key, value[:_TAG_CHARACTERS]) for key, value in tags.items()]
        with turn_to_write(self.client.tracking_uri):
            self.client.log_batch(self.run_id, tags=items)

    def artifacts(self) -> ArtifactRepository:
        """Its artifact store, made as ``TrackingServiceClient._get_artifact_repo`` makes it.

        MLflow's client reads the whole run again to find its address.

        Raises:
            Exception: Of each artifact store's own kind.
        """
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
        from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri

        tracking_uri = self.client.tracking_uri
        address = add_databricks_profile_info_to_artifact_uri(self.artifact_uri, tracking_uri)
        if "tracking_uri" in inspect.signature(get_artifact_repository).parameters:
            return get_artifact_repository(address, tracking_uri=tracking_uri)
        return get_artifact_repository(address)  # MLflow 3.1

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
            tags[TAG_REASON] = outcome.reason
        if outcome.cause:
            tags[TAG_CAUSE] = outcome.cause
        if outcome.exit_code is not None:
            tags[TAG_EXIT_CODE] = str(outcome.exit_code)
        if outcome.out_of_memory:
            tags[TAG_OUT_OF_MEMORY] = "true"
        if tags:
            self.set_tags(tags)
        end_time = None if ended_at is None else int(ended_at * 1000)
        with turn_to_write(self.client.tracking_uri):
            self.client.set_terminated(self.run_id, status=outcome.status, end_time=end_time)


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


def is_missing(error: MlflowException) -> bool:
    """Whether a store says that there is no such thing."""
    return bool(error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST))


def check_parameters(parameters: Mapping[str, str]) -> None:
    """Refuse names that MLflow cannot log, before there is a run.

    Raises:
        InvalidProject: A name is not one that MLflow takes.
    """
    for name in parameters:
        try:
            _validate_param_name(name)
        except MlflowException as error:
            raise InvalidProject(
                f"The parameter '{name}' cannot be logged: {error.message}"
            ) from error


def create_run(
    client: MlflowClient,
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
    """Create a run that looks as one made by MLflow does; it is RUNNING, as those are.

    The tags are those of ``mlflow.projects.utils._create_run``, made with its functions; that
    one itself would log parameters quoted for a shell, and they cannot be changed afterwards.
    Git is asked by :mod:`container_backend.project.git`: asked by MLflow, it runs programs that a
    repository names.
    """
    checkout = read_checkout(repository, directory, version)
    tags = {**_source_tags(uri, checkout, version, entry_point), **tags}
    with turn_to_write(client.tracking_uri):
        run = client.create_run(experiment_id, tags=tags, run_name=run_name)
    info = run.info
    record = RunRecord(client, info.run_id, experiment_id, info.artifact_uri, info.status)
    with ending_on_error(record):
        items = [Param(name, value) for name, value in parameters.items()]
        for start in range(0, len(items), _PARAMS_PER_REQUEST):
            with turn_to_write(client.tracking_uri):
                client.log_batch(record.run_id, params=items[start : start + _PARAMS_PER_REQUEST])
    return record


def _source_tags(
    uri: str, checkout: Checkout, version: str | None, entry_point: str
) -> dict[str, str]:
    from mlflow.entities import SourceType
    from mlflow.projects import utils
    from mlflow.tracking import fluent

    source = utils._expand_uri(uri)
    if utils._is_local_uri(uri):
        source = git_address(source)
    tags: dict[str, Any] = {
        names.MLFLOW_USER: _user(),
        names.MLFLOW_SOURCE_NAME: without_credentials(source),
        names.MLFLOW_SOURCE_TYPE: SourceType.to_string(SourceType.PROJECT),
        names.MLFLOW_PROJECT_ENTRY_POINT: entry_point,
        names.MLFLOW_GIT_COMMIT: checkout.commit or None,
        names.MLFLOW_GIT_REPO_URL: checkout.address or None,
    }
    if (active := fluent.active_run()) is not None:
        tags[names.MLFLOW_PARENT_RUN_ID] = active.info.run_id
    if checkout.is_branch:
        tags[names.MLFLOW_GIT_BRANCH] = version
    return {key: str(value) for key, value in tags.items() if value is not None}


def _user() -> str:
    """The user's name as MLflow finds it; the number of one who has none, as in many pods."""
    from mlflow.tracking.context.default_context import _get_user

    try:
        return str(_get_user())
    except (KeyError, OSError):
        return str(os.getuid())


@contextmanager
def reaching(tracking_uri: str) -> Iterator[None]:
    """What the store refuses inside is said with its address.

    Raises:
        TrackingUnreachable: Nobody answers there, or MLflow could not read from or write to it.
    """
    await_listener(tracking_uri)
    try:
        yield
    except MlflowException as error:
        raise TrackingUnreachable(
            f"The tracking store '{without_credentials(tracking_uri)}' cannot be used: "
            f"{str(error).strip()}",
            remedy="Check MLFLOW_TRACKING_URI, and that the server is up.",
        ) from error


@contextmanager
def ending_on_error(record: RunRecord, then: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Whatever goes wrong inside ends the run, with the reason: none stays scheduled.

    Args:
        record: Of the run.
        then: What is done when that is written down.
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
    except (MlflowException, OSError) as error:
        _logger.warning(
            "Run (ID '%s') could not be set to %s: %s",
            record.run_id,
            outcome.status,
            without_credentials(str(error)),
        )
