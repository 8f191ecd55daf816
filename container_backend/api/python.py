"""The Python interface: ``container_backend.run``, ``build`` and ``attach``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from container_backend.errors import InvalidConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.config import BackendConfig
    from container_backend.runs import ContainerRun
    from container_backend.store import SubmittedRun

DOCKER: Final = "docker"
# What MLflow's own local backend knows (mlflow.utils.env_manager).
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
) -> SubmittedRun:
    """Run a project. The arguments are those of ``mlflow.projects.run``.

    Args:
        uri: A folder, a git address or a zip file, with an optional ``#subdirectory``; or
            ``docker://`` and the name of a project's image.
        entry_point: One of the project's, or a ``.py`` or ``.sh`` file in it.
        version: A branch, tag or commit, for git.
        parameters: Name → value.
        docker_args: Arguments of ``docker run``; a list for one given more than once.
        experiment_name: Where the run goes; made where it is not there.
        experiment_id: Instead of the name.
        backend_config: A mapping, JSON, or the name of a JSON file.
        synchronous: Whether to wait for the end and raise if the run fails. A run that is not
            waited for goes on by itself, whatever becomes of this process.
        run_name: A name for the run.
        env_manager: ``docker``, or one of MLflow's own, to whose local backend the run is handed
            over unchanged.
        docker_auth: A login for a registry: ``username``, ``password``, ``registry``.
        storage_dir: Where files of parameters of type ``path`` are downloaded to.
        build_image: Whether the image of a project with ``docker_env`` gets the project's code.

    Returns:
        The submitted run: ``run_id``, ``wait()``, ``get_status()``, ``cancel()``.

    Raises:
        ContainerBackendError: Something is wrong, or the run failed.
    """
    if env_manager != DOCKER:
        return _run_with_mlflow(
            env_manager,
            uri=uri,
            entry_point=entry_point,
            version=version,
            parameters=dict(parameters or {}),
            docker_args=dict(docker_args or {}),
            experiment_name=experiment_name,
            experiment_id=experiment_id,
            synchronous=synchronous,
            run_name=run_name,
            docker_auth=dict(docker_auth) if docker_auth else None,
            storage_dir=storage_dir,
            build_image=build_image,
        )
    from container_backend.machine import configure_logging
    from container_backend.runs import Submission, launch_detached, run_to_end
    from container_backend.store import Experiment

    configure_logging()
    submission = Submission(
        uri=str(uri),
        entry_point=entry_point,
        parameters=parameters or {},
        version=version,
        config=_config(backend_config),
        docker_args=docker_args or {},
        docker_auth=docker_auth,
        experiment=Experiment(experiment_id, experiment_name),
        run_name=run_name,
        storage_dir=storage_dir,
        build_image=build_image,
    )
    return run_to_end(submission) if synchronous else launch_detached(submission)


def attach(run_id: str) -> ContainerRun:
    """A run that was started before, by whatever process, here or on another machine.

    It is looked for on the engine of the environment (``DOCKER_HOST``, the Docker context), then
    in the tracking store.

    Args:
        run_id: Its id, or the beginning of one.

    Returns:
        The run: ``wait()``, ``get_status()``, ``cancel()``, ``logs()``.

    Raises:
        InvalidInput: There is no such run, or there are several.
        TrackingUnreachable: It is not on the engine, and the tracking store does not answer.
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
    """Find or build the environment image of a project, or of one of its entry points.

    Returns:
        The image's reference.

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
    # Not imported by those who only use the package's other parts: it is large.
    from container_backend.config import parse_config, read_config

    return parse_config(read_config(given) if isinstance(given, str) else given or {})


def _run_with_mlflow(env_manager: str, **arguments: Any) -> SubmittedRun:  # noqa: ANN401
    if env_manager not in MLFLOW_ENV_MANAGERS:
        known = ", ".join((DOCKER, *MLFLOW_ENV_MANAGERS))
        raise InvalidConfig(f"Unknown environment manager '{env_manager}'. Known: {known}.")
    from container_backend.image import is_image_address

    if is_image_address(str(arguments["uri"])):
        raise InvalidConfig(
            f"'{arguments['uri']}' is an image, which has its environment in it; MLflow's "
            f"environment manager '{env_manager}' cannot run it.",
            remedy="Leave out the environment manager.",
        )
    from container_backend.api.backend import run_with_mlflow

    return run_with_mlflow(env_manager, **arguments)
