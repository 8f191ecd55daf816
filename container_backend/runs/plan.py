"""What is asked for → all that can be said of a run before anything is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from container_backend.container import (
    DockerArgs,
    absolute_uri,
    asked_args,
    beneath,
    parse_docker_args,
    with_engine,
)
from container_backend.engine import connect
from container_backend.environment import (
    ENVIRONMENT_KEYS,
    DockerEnvironment,
    EnvironmentSpec,
    read_environment,
)
from container_backend.image import is_image_address, reference_of
from container_backend.privileges import (
    Permissions,
    check_engine,
    check_special_files,
    engine_sockets,
)
from container_backend.project import (
    Command,
    Source,
    check_files,
    check_size,
    choose_storage,
    compute_command,
    confine_paths,
    fetch,
    read_project,
)
from container_backend.runs.image_choice import which_image
from container_backend.runs.image_project import ImageProject, open_image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

    from container_backend.config import BackendConfig
    from container_backend.engine import Engine
    from container_backend.image import ImagePlan, ReadyImage
    from container_backend.project import EntryPoint, Project, Repository
    from container_backend.runs.submission import Repetition, Submission
    from container_backend.store import Experiment


@dataclass(frozen=True)
class Plan:
    """A run that was checked as far as possible. Nothing of it is open or connected.

    Attributes:
        uri: The address of the project, as it is written down.
        version: A branch, tag or commit, for git.
        project: What is at that address.
        entry_point: Of the project.
        command: With the values of the parameters.
        parameters: As they were given.
        environment: What the program needs.
        config: The backend config.
        docker_args: Of the project's ``docker_env``, the config and the caller.
        given_docker_args: Those of the config and the caller, as they were given.
        docker_auth: A login for a registry, as MLflow takes it.
        image: Which image the run will have.
        build_image: Put the code into an image that the project names itself.
        tracking_uri: Absolute.
        experiment: Where the run goes.
        run_name: None for one that MLflow chooses.
        storage: The folder for downloads; not there yet.
        temporary: The folders that are made for the run, and go with it.
        is_fetched: The project is not a folder of the caller.
        repository: Has the project in its work tree; None where git is asked nothing.
        image_project: What the image says of the project, where the project is an image.
        repetition: The run that this one repeats.
    """

    uri: str
    version: str | None
    project: Project
    entry_point: EntryPoint
    command: Command
    parameters: Mapping[str, object]
    environment: EnvironmentSpec | DockerEnvironment
    config: BackendConfig
    docker_args: DockerArgs
    given_docker_args: Mapping[str, Any]
    docker_auth: Mapping[str, Any] | None = field(repr=False)
    image: ImagePlan | ReadyImage
    build_image: bool
    tracking_uri: str
    experiment: Experiment
    run_name: str | None
    storage: Path
    temporary: tuple[Path, ...]
    is_fetched: bool
    repetition: Repetition | None
    repository: Repository | None
    image_project: ImageProject | None


def make_plan(
    submission: Submission, connections: ExitStack, files: ExitStack
) -> tuple[Plan, Engine]:
    """Read and check everything.

    Args:
        submission: What is asked for.
        connections: Closes the connection to the engine.
        files: Removes the files of a project that was fetched.

    Returns:
        The plan, and the engine that it was made for.

    Raises:
        ContainerBackendError: Something is wrong, or there is no engine. Nothing was made.
    """
    config = submission.config
    docker_args = parse_docker_args({**config.docker_args, **submission.docker_args})
    storage = choose_storage(submission.storage_dir or config.storage_dir)
    if is_image_address(submission.uri):
        return _plan_of_image(submission, docker_args, storage, connections, files)
    source = _source(submission, files)
    permissions = _permissions(submission, is_fetched=source.is_fetched)
    project = read_project(source.directory, ENVIRONMENT_KEYS)
    entry_point = project.entry_point(submission.entry_point)
    command = _command(submission, project, entry_point, storage, permissions)
    environment = read_environment(project, entry_point, config)
    check_files(project.directory)
    asked = DockerArgs()
    if isinstance(environment, DockerEnvironment):
        asked = asked_args(docker_args, environment, source.directory, permissions)
    _check_variables(asked, docker_args)
    connected = _connected(submission, connections)
    tracking_uri = _tracking_uri(submission, command)
    docker_args = _with_asked(docker_args, asked, project, command, connected, config)
    plan = _assembled(
        submission,
        uri=submission.uri,
        project=project,
        entry_point=entry_point,
        command=command,
        environment=environment,
        docker_args=docker_args,
        image=which_image(connected, environment, submission, project, docker_args.platform),
        tracking_uri=tracking_uri,
        storage=storage,
        fetched=source.temporary,
        repository=source.repository,
    )
    return plan, connected


def _assembled(
    submission: Submission,
    *,
    uri: str,
    project: Project,
    entry_point: EntryPoint,
    command: Command,
    environment: EnvironmentSpec | DockerEnvironment,
    docker_args: DockerArgs,
    image: ImagePlan | ReadyImage,
    tracking_uri: str,
    storage: Path,
    fetched: Path | None,
    repository: Repository | None = None,
    image_project: ImageProject | None = None,
) -> Plan:
    """What was found, and what a submission says of the steps after planning."""
    config = submission.config
    # Downloads stay in a folder that the caller names.
    is_kept = bool(submission.storage_dir or config.storage_dir)
    downloads = storage if command.downloads and not is_kept else None
    return Plan(
        uri=uri,
        version=submission.version,
        project=project,
        entry_point=entry_point,
        command=command,
        parameters=submission.parameters,
        environment=environment,
        config=config,
        docker_args=docker_args,
        given_docker_args={**config.docker_args, **submission.docker_args},
        docker_auth=submission.docker_auth,
        image=image,
        build_image=submission.build_image,
        tracking_uri=tracking_uri,
        experiment=submission.experiment,
        run_name=submission.run_name,
        storage=storage,
        temporary=tuple(folder for folder in (fetched, downloads) if folder is not None),
        is_fetched=fetched is not None,
        repetition=submission.repetition,
        repository=repository,
        image_project=image_project,
    )


def _source(submission: Submission, files: ExitStack) -> Source:
    repeated = submission.repetition
    if repeated is None or repeated.directory is None:
        return fetch(submission.uri, submission.version, files)
    return Source(repeated.directory, is_fetched=True, temporary=repeated.temporary)


def _plan_of_image(
    submission: Submission,
    docker_args: DockerArgs,
    storage: Path,
    connections: ExitStack,
    files: ExitStack,
) -> tuple[Plan, Engine]:
    """The plan for a project that is an image. Raises as :func:`make_plan`."""
    reference_of(submission.uri)
    connected = _connected(submission, connections)
    permissions = _permissions(submission, is_fetched=True)
    found = open_image(connected, submission, files)
    project = found.project
    entry_point = project.entry_point(submission.entry_point)
    command = _command(submission, project, entry_point, storage, permissions)
    asked = asked_args(docker_args, found.environment, project.directory, permissions)
    _check_variables(asked, docker_args)
    tracking_uri = _tracking_uri(submission, command)
    docker_args = _with_asked(docker_args, asked, project, command, connected, submission.config)
    plan = _assembled(
        submission,
        uri=found.address,
        project=project,
        entry_point=entry_point,
        command=command,
        environment=found.environment,
        docker_args=docker_args,
        image=found.image,
        tracking_uri=tracking_uri,
        storage=storage,
        fetched=project.directory,
        image_project=found,
    )
    return plan, connected


def _check_variables(*given: DockerArgs) -> None:
    for args in given:
        for name, value in args.environment.items():
            check_size("docker argument 'env'", f"the variable '{name}'", f"{name}={value}")


def _connected(submission: Submission, connections: ExitStack) -> Engine:
    connected = connect(submission.host)
    connections.callback(connected.close)
    return connected


def _tracking_uri(submission: Submission, command: Command) -> str:
    # This imports MLflow, which takes seconds: what is wrong so far was said without it.
    from container_backend.store import check_parameters, default_address

    check_parameters(command.parameters)
    given = submission.tracking_uri
    return absolute_uri(given) if given else default_address()


def _permissions(submission: Submission, *, is_fetched: bool) -> Permissions:
    config, repeated = submission.config, submission.repetition
    if repeated is None:
        return Permissions(config.trust_project or not is_fetched)
    return Permissions(config.trust_project or repeated.trusted, is_repeated=True)


def _command(
    submission: Submission,
    project: Project,
    entry_point: EntryPoint,
    storage: Path,
    permissions: Permissions,
) -> Command:
    values, repeated = submission.parameters, submission.repetition
    typed = set(values) - (repeated.recorded if repeated else frozenset())
    confined = confine_paths(project, entry_point, values, typed, permissions)
    command = compute_command(project, confined, values, storage)
    check_special_files(project.where, command.paths)
    return command


def _with_asked(
    args: DockerArgs,
    asked: DockerArgs,
    project: Project,
    command: Command,
    connected: Engine,
    config: BackendConfig,
) -> DockerArgs:
    """What the project asks for, beneath what the caller asks for; the engine only where allowed."""
    merged = beneath(asked, args)
    if config.allow_engine:
        return with_engine(merged, connected)
    folders = [Path(bind.partition(":")[0]) for bind in asked.binds if bind.startswith("/")]
    sockets = engine_sockets(connected.host.url)
    check_engine(project.where, [*command.paths, *folders], sockets)
    return merged
