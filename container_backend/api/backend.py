"""The MLflow plugin: ``mlflow run URI --backend docker`` and ``mlflow.projects.run(…)``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import click
import mlflow.projects
from mlflow.exceptions import ExecutionException, MlflowException
from mlflow.projects.backend.abstract_backend import AbstractBackend

from container_backend.config import parse_config
from container_backend.errors import ContainerBackendError
from container_backend.machine import configure_logging
from container_backend.runs import Submission, launch_and_wait, launch_detached, run_to_end
from container_backend.store import Experiment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.runs import ContainerRun
    from container_backend.store import SubmittedRun

_logger = logging.getLogger(__package__)
# What MLflow writes into the backend config of its callers (mlflow.projects._run).
_ENV_MANAGER: Final = "ENV_MANAGER"
_SYNCHRONOUS: Final = "SYNCHRONOUS"
_DOCKER_ARGS: Final = "DOCKER_ARGS"
_DOCKER_AUTH: Final = "docker_auth"
_STORAGE_DIR: Final = "STORAGE_DIR"
_BUILD_IMAGE: Final = "build_image"
_MLFLOW_KEYS: Final = (
    _ENV_MANAGER, _SYNCHRONOUS, _DOCKER_ARGS, _DOCKER_AUTH, _STORAGE_DIR, _BUILD_IMAGE
)  # fmt: skip


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
    ) -> ContainerRun:
        """Run a project in a container; see ``AbstractBackend.run``.

        Blocks for a synchronous call, and under the command ``mlflow run``, which calls every
        plugin asynchronously and would exit with 0 whatever became of the run.

        Raises:
            ExecutionException: The run could not be started, or, when blocking, failed.
        """
        configure_logging()
        if env_manager := backend_config.get(_ENV_MANAGER):
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
                config=parse_config(
                    {key: value for key, value in backend_config.items() if key not in _MLFLOW_KEYS}
                ),
                docker_args=backend_config.get(_DOCKER_ARGS) or {},
                docker_auth=backend_config.get(_DOCKER_AUTH),
                tracking_uri=tracking_uri,
                experiment=Experiment(id=experiment_id),
                storage_dir=backend_config.get(_STORAGE_DIR),
                build_image=bool(backend_config.get(_BUILD_IMAGE)),
            )
            if _is_mlflow_run():
                return run_to_end(submission)
            if backend_config.get(_SYNCHRONOUS):
                return launch_and_wait(submission)  # MLflow says that it succeeded
            return launch_detached(submission)
        except ContainerBackendError as error:
            raise ExecutionException(str(error)) from error


def _is_mlflow_run() -> bool:
    """Whether this is the command ``mlflow run``, and not another program's ``run``."""
    context = click.get_current_context(silent=True)
    callback = context.command.callback if context is not None else None
    return callback is not None and callback.__module__.startswith("mlflow.cli")


def run_with_mlflow(env_manager: str, **arguments: Any) -> SubmittedRun:  # noqa: ANN401
    """Hand a run over to MLflow's own local backend.

    Raises:
        ContainerBackendError: MLflow refuses it, or the run failed.
    """
    try:
        submitted: SubmittedRun = mlflow.projects.run(
            backend="local", env_manager=env_manager, **arguments
        )
    except MlflowException as error:
        raise ContainerBackendError(str(error)) from error
    return submitted
