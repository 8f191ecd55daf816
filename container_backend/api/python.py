"""The Python interface: ``container_backend.run``, ``build`` and ``attach``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from container_backend.errors import InvalidConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.api.backend import SubmittedRun
    from container_backend.config import BackendConfig
    from container_backend.runs import ContainerRun, Submission

DOCKER: Final = "docker"
# Environment managers of MLflow's local backend (mlflow.utils.env_manager).
MLFLOW_ENV_MANAGERS: Final = ("local", "virtualenv", "uv", "conda")


def run(
    uri: str,
    entry_point: str = "main",
    version: str | None = None,
    parameters: Mapping[str, object] | None = None,
    docker_args: Mapping[str, Any] | None = None,
    experiment_name: str | None = None,
    experiment_id: str | None = None,
    backend_config: Mapping[str, Any] | str | None = None,
    synchronous: bool = True,
    run_name: str | None = None,
    env_manager: str = DOCKER,
    docker_auth: Mapping[str, Any] | None = None,
    storage_dir: str | None = None,
    build_image: bool = False,
    run_id: str | None = None,
) -> ContainerRun | SubmittedRun:
    """Run a project. The arguments are those of ``mlflow.projects.run``.

    Args:
        uri: Folder, git address or zip file, with an optional ``#subdirectory``, or ``docker://IMAGE``.
        entry_point: Name of an entry point, or a ``.py`` or ``.sh`` file of the project.
        version: Branch, tag or commit of a git project.
        parameters: Name → value.
        docker_args: Arguments of ``docker run``; a list for a repeated argument.
        experiment_name: Experiment of the run, created if missing; ``experiment_id``: the same by id.
        backend_config: A mapping, JSON, or the name of a JSON file.
        synchronous: Wait for the end, and raise if it failed; otherwise the run continues by itself.
        run_name: Name of the run.
        env_manager: ``docker``, or one of MLflow's, for a run with MLflow's local backend.
        docker_auth: Login for a registry: ``username``, ``password``, ``registry``.
        storage_dir: Folder for the downloads of parameters of type ``path``.
        build_image: With ``docker_env``, build an image that contains the code.
        run_id: A run that exists, to go on with; default: a new run.

    Returns:
        The run, with ``run_id``, ``wait()``, ``get_status()`` and ``cancel()``.

    Raises:
        ContainerBackendError: The run could not be started, or failed.
    """
    from container_backend.config import BackendConfig
    from container_backend.runs import Submission
    from container_backend.store import Experiment

    submission = Submission(
        uri=str(uri),
        entry_point=entry_point,
        parameters=parameters or {},
        version=version,
        config=_config(backend_config) if env_manager == DOCKER else BackendConfig(),
        docker_args=docker_args or {},
        docker_auth=docker_auth,
        experiment=Experiment(experiment_id, experiment_name),
        run_name=run_name,
        storage_dir=storage_dir,
        build_image=build_image,
        run_id=run_id,
    )
    return _start(submission, env_manager, synchronous=synchronous)


def attach(run_id: str) -> ContainerRun:
    """Find a run that any process started, on this or another machine.

    The run is looked up on the engine of the environment (``DOCKER_HOST``, the Docker context),
    then in the tracking store.

    Args:
        run_id: The id of the run, or its beginning.

    Returns:
        The run, with ``wait()``, ``get_status()``, ``cancel()`` and ``logs()``.

    Raises:
        InvalidInput: There is no such run, or there are several.
        TrackingUnreachable: The run is not on the engine, and the tracking store does not answer.
    """
    from container_backend.runs import attach as find

    return find(run_id)


def build(
    uri: str,
    version: str | None = None,
    backend_config: Mapping[str, Any] | str | None = None,
    docker_auth: Mapping[str, Any] | None = None,
    entry_point: str = "main",
) -> str:
    """Find or build the environment image of an entry point of a project.

    The arguments are those of :func:`run`.

    Returns:
        The reference of the image.

    Raises:
        ContainerBackendError: The project or its environment is wrong, or the build fails.
    """
    from container_backend.machine import configure_logging
    from container_backend.runs import Submission, build_environment

    configure_logging()
    submission = Submission(
        uri=str(uri),
        entry_point=entry_point,
        version=version,
        config=_config(backend_config),
        docker_auth=docker_auth,
    )
    return build_environment(submission).reference


def _config(given: Mapping[str, Any] | str | None) -> BackendConfig:
    # A large module, which `import container_backend` does not need.
    from container_backend.config import parse_config, read_config

    return parse_config(read_config(given) if isinstance(given, str) else given or {})


def _start(
    submission: Submission, env_manager: str, *, synchronous: bool
) -> ContainerRun | SubmittedRun:
    if env_manager != DOCKER:
        return run_with_mlflow(env_manager, submission, synchronous=synchronous)
    from container_backend.machine import configure_logging
    from container_backend.runs import launch_detached, run_to_end

    configure_logging()
    return run_to_end(submission) if synchronous else launch_detached(submission)


def run_with_mlflow(
    env_manager: str, submission: Submission, *, synchronous: bool = True
) -> SubmittedRun:
    """Run a project with MLflow's local backend.

    Raises:
        InvalidConfig: The environment manager is unknown, or the project is an image.
        ContainerBackendError: MLflow refuses the run, or the run failed.
    """
    if env_manager not in MLFLOW_ENV_MANAGERS:
        known = ", ".join((DOCKER, *MLFLOW_ENV_MANAGERS))
        raise InvalidConfig(f"Unknown environment manager '{env_manager}'. Known: {known}.")
    from container_backend.image import is_image_address

    if is_image_address(submission.uri):
        raise InvalidConfig(
            f"'{submission.uri}' is an image with an environment of its own; MLflow's "
            f"environment manager '{env_manager}' cannot run it.",
            remedy="Leave out the environment manager.",
        )
    from container_backend.api.backend import run_on_local_backend

    return run_on_local_backend(env_manager, submission, synchronous=synchronous)
