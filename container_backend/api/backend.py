"""The MLflow plugin: ``mlflow run URI --backend docker`` and ``mlflow.projects.run(…)``."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click
import mlflow.projects
from mlflow.exceptions import ExecutionException, MlflowException
from mlflow.projects import SubmittedRun as SubmittedRun  # noqa: PLC0414 for python.py
from mlflow.projects.backend.abstract_backend import AbstractBackend

from container_backend.config import parse_config
from container_backend.errors import ContainerBackendError
from container_backend.machine import configure_logging
from container_backend.runs import (
    ContainerRun,
    Submission,
    launch_and_wait,
    launch_detached,
    run_to_end,
)
from container_backend.store import Experiment, default_experiment_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

_logger = logging.getLogger(__package__)
# Keys that MLflow adds to the backend config (mlflow.projects._run).
_MLFLOW_KEYS: Final = (
    "ENV_MANAGER", "SYNCHRONOUS", "DOCKER_ARGS", "docker_auth", "STORAGE_DIR", "build_image"
)  # fmt: skip


class DockerRun(ContainerRun, SubmittedRun):
    """A run of this package as MLflow's own backends return theirs."""

    def __init__(self, run: ContainerRun) -> None:
        vars(self).update(vars(run))


class DockerBackend(AbstractBackend):
    """The backend that MLflow knows as ``docker``."""

    def run(
        self,
        project_uri: str,
        entry_point: str,
        params: Mapping[str, object] | None,
        version: str | None,
        backend_config: Mapping[str, Any],
        tracking_uri: str,
        experiment_id: str,
    ) -> DockerRun:
        """Run a project in a container; see ``AbstractBackend.run``.

        Blocks for a synchronous call and under the command ``mlflow run``. That command calls
        every plugin asynchronously, and would exit with 0 even if the run failed.

        Raises:
            ExecutionException: The run could not be started, or, when blocking, failed.
        """
        configure_logging()
        config = dict(backend_config)
        added = {key: config.pop(key, None) for key in _MLFLOW_KEYS}
        call = _call_of_mlflow()
        if env_manager := added["ENV_MANAGER"]:
            _logger.warning(
                "The environment manager '%s' is not used: the backend 'docker' makes an image",
                env_manager,
            )
        try:
            submission = Submission(
                uri=project_uri,
                entry_point=entry_point,
                parameters=params or {},
                version=version,
                config=parse_config(config),
                docker_args=added["DOCKER_ARGS"] or {},
                docker_auth=added["docker_auth"],
                tracking_uri=tracking_uri,
                experiment=_asked_experiment(experiment_id, call),
                storage_dir=added["STORAGE_DIR"],
                build_image=bool(added["build_image"]),
                run_id=call.get("run_id"),
            )
            launch = launch_and_wait if added["SYNCHRONOUS"] else launch_detached
            if _is_mlflow_run():  # MLflow prints the success of the others
                launch = run_to_end
            return DockerRun(launch(submission))
        except ContainerBackendError as error:
            raise ExecutionException(str(error)) from error


def _call_of_mlflow() -> Mapping[str, Any]:
    """The variables of the ``mlflow.projects.run`` that calls this: it hands no ``run_id`` on to plugins."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) == ("mlflow.projects", "run"):
            return frame.f_locals
        frame = frame.f_back
    return {}


def _asked_experiment(experiment_id: str, call: Mapping[str, Any]) -> Experiment:
    """The experiment that the caller names: for a run that exists, the default of the environment is none."""
    is_named = call.get("experiment_name") not in {None, os.environ.get("MLFLOW_EXPERIMENT_NAME")}
    if call.get("run_id") and not is_named and experiment_id == default_experiment_id():
        return Experiment()
    return Experiment(experiment_id)


def _is_mlflow_run() -> bool:
    """True in the command ``mlflow run``; false in a command ``run`` of another program."""
    context = click.get_current_context(silent=True)
    callback = context.command.callback if context is not None else None
    return callback is not None and callback.__module__.startswith("mlflow.cli")


def run_on_local_backend(
    env_manager: str, submission: Submission, *, synchronous: bool
) -> SubmittedRun:
    """Run a project with the local backend of MLflow.

    Raises:
        ContainerBackendError: MLflow refuses the run, or the run failed.
    """
    login = submission.docker_auth
    try:
        submitted: SubmittedRun = mlflow.projects.run(
            uri=submission.uri,
            entry_point=submission.entry_point,
            version=submission.version,
            parameters=dict(submission.parameters),
            docker_args=dict(submission.docker_args),
            experiment_name=submission.experiment.name,
            experiment_id=submission.experiment.id,
            backend="local",
            synchronous=synchronous,
            run_name=submission.run_name,
            run_id=submission.run_id,
            env_manager=env_manager,
            docker_auth=dict(login) if login else None,
            storage_dir=submission.storage_dir,
            build_image=submission.build_image,
        )
    except MlflowException as error:
        raise ContainerBackendError(str(error)) from error
    return submitted
