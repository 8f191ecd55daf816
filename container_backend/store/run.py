"""The MLflow run of a project: creation, status and end."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.container import (
    CAUSE_CANCELLED,
    CAUSE_NOT_STARTED,
    FAILED,
    KILLED,
    RUNNING,
    TERMINAL,
    Outcome,
)
from container_backend.errors import ContainerBackendError, InvalidInput, TrackingUnreachable
from container_backend.masking import without_credentials
from container_backend.project import read_checkout, source_name
from container_backend.store.client import active_run_id, is_listening, user_name
from container_backend.store.resumed import check_unchanged, tags_without_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from container_backend.project import Checkout, Repository
    from container_backend.store.client import Store, StoredRun

_logger = logging.getLogger(__package__)
_NOT_SET: Final = "Run (ID '%s') could not be set to %s: %s"


@dataclass
class RunRecord:
    """A run in its store, to write to.

    Attributes:
        run: The run as it was found or created.
        status: The last status that this process knows; None if unknown.
        awaits: Tags of a run that exists and is to go on; it is not changed before :meth:`begin`. None for
            other runs.
    """

    store: Store
    run: StoredRun
    status: str | None = None
    awaits: Mapping[str, str] | None = None

    @property
    def run_id(self) -> str:
        return self.run.run_id

    def say_status(self, status: str) -> None:
        """Set the status of an active run; a store that does not answer is only logged."""
        if status == self.status or self.awaits is not None:
            return
        try:
            if is_listening(self.store.tracking_uri):
                self.store.set_status(self.run_id, status)
                self.status = status
        except TrackingUnreachable as error:
            _logger.warning(_NOT_SET, self.run_id, status, error.message)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.store.set_tags(self.run_id, tags)

    def begin(self, tags: Mapping[str, str]) -> None:
        """Set the tags that the run lacks, once its container has the run's name.

        The engine has each name once: of two processes that go on with a run, one comes here. The run is
        RUNNING again then, and its last end is no more.

        Raises:
            InvalidConfig: A process on another engine goes on with the run since it was found.
        """
        if self.awaits is not None:
            check_unchanged(self.store, self.run)
            tags = {**tags_without_end(self.run), **self.awaits, **tags}
            self.store.set_status(self.run_id, RUNNING)
            self.status, self.awaits = RUNNING, None
        if missing := dict(tags.items() - self.run.tags.items()):
            self.set_tags(missing)
            self.run = replace(self.run, tags={**self.run.tags, **missing})

    def is_spared(self, error: BaseException) -> bool:
        """True for a run that an error leaves as it was: it has not begun, and had ended or is another's."""
        if self.awaits is None:
            return False
        return self.run.status in TERMINAL or isinstance(error, InvalidInput)

    def log_artifact(self, file: Path, folder: str) -> None:
        self.store.log_artifact(self.run, file, folder)

    def finish(
        self, outcome: Outcome, ended_at: float | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        """End the run: set reason and exit code as tags, then the status. Idempotent.

        Args:
            ended_at: Seconds since 1970; default: now.
            tags: Further tags.
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
    resumed: StoredRun | None = None,
) -> RunRecord:
    """Create a run with the status RUNNING and the tags of ``mlflow.projects.utils._create_run``.

    That function itself would log parameters quoted for a shell, which nothing can change later,
    and would call git so that git runs programs that a repository names.

    Args:
        resumed: A run that exists and goes on. As with MLflow, its source and its parameters stay.
    """
    if resumed is not None:
        named = {labels_and_tags.MLFLOW_RUN_NAME: run_name} if run_name else {}
        return RunRecord(store, resumed, resumed.status, awaits={**tags, **named})
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
    tags = {
        labels_and_tags.MLFLOW_USER: user_name(),
        labels_and_tags.MLFLOW_SOURCE_NAME: without_credentials(source_name(uri)),
        labels_and_tags.MLFLOW_SOURCE_TYPE: "PROJECT",
        labels_and_tags.MLFLOW_ENTRY_POINT: entry_point,
        labels_and_tags.MLFLOW_GIT_COMMIT: checkout.commit,
        labels_and_tags.MLFLOW_GIT_ADDRESS: checkout.address,
        labels_and_tags.MLFLOW_GIT_BRANCH: version if checkout.is_branch else None,
        labels_and_tags.MLFLOW_PARENT_RUN: active_run_id(),
    }
    return {key: str(value) for key, value in tags.items() if value}


@contextmanager
def ending_on_error(record: RunRecord, then: Callable[[], object] = lambda: None) -> Iterator[None]:
    """End the run if an error is raised inside, and it is not spared; then call ``then``."""
    try:
        yield
    except BaseException as error:
        outcome = _outcome_of_error(error)
        try:
            if not record.is_spared(error):
                record.finish(outcome)
            then()
        except (TrackingUnreachable, OSError) as failure:  # must not hide the first error
            reason = without_credentials(str(failure))
            _logger.warning(_NOT_SET, record.run_id, outcome.status, reason)
        raise


def _outcome_of_error(error: BaseException) -> Outcome:
    if isinstance(error, KeyboardInterrupt):
        reason = "interrupted before the program was started"
        return Outcome(KILLED, reason, cause=CAUSE_CANCELLED)
    said = isinstance(error, ContainerBackendError)
    reason = str(error) if said else without_credentials(f"{type(error).__name__}: {error}")
    return Outcome(FAILED, reason, cause=CAUSE_NOT_STARTED)
