"""What is asked for → all that can be said of a run before anything is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

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
    from contextlib import ExitStack

    from container_backend.config import BackendConfig
    from container_backend.engine import Engine
    from container_backend.image import ImagePlan, ReadyImage
    from container_backend.project import EntryPoint, Project, Repository
    from container_backend.runs.submission import Submission


@dataclass(frozen=True)
class Plan:
    """A run that was checked as far as it can be.

    Attributes:
        submission: What was asked for.
        project: What was found.
        entry_point: Of the project.
        command: With the values of the submission.
        environment: What the program needs.
        docker_args: Of the project's ``docker_env``, the config and the submission.
        image: Which image it will run in.
        engine: Where.
        tracking_uri: Absolute.
        storage: The folder for downloads; not there yet.
        fetched: The folder that the project was fetched to, if it was.
        repository: Has the project in its work tree; None where git is asked nothing.
        image_project: What the image says of the project, where the project is an image.
    """

    submission: Submission
    project: Project
    entry_point: EntryPoint
    command: Command
    environment: EnvironmentSpec | DockerEnvironment
    docker_args: DockerArgs
    image: ImagePlan | ReadyImage
    engine: Engine
    tracking_uri: str
    storage: Path
    fetched: Path | None
    repository: Repository | None = None
    image_project: ImageProject | None = None

    @property
    def temporary(self) -> tuple[Path, ...]:
        """The folders that are made for the run, and go with it.

        Downloads stay where the caller said where to put them.
        """
        kept = self.submission.storage_dir or self.submission.config.storage_dir
        downloads = self.storage if self.command.downloads and not kept else None
        return tuple(folder for folder in (self.fetched, downloads) if folder is not None)


def make_plan(submission: Submission, connections: ExitStack, files: ExitStack) -> Plan:
    """Read and check everything.

    Args:
        submission: What is asked for.
        connections: Closes the connection to the engine.
        files: Removes the files of a project that was fetched.

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
    return Plan(
        submission=submission,
        project=project,
        entry_point=entry_point,
        command=command,
        environment=environment,
        docker_args=docker_args,
        image=which_image(connected, environment, submission, project, docker_args.platform),
        engine=connected,
        tracking_uri=tracking_uri,
        storage=storage,
        fetched=source.temporary,
        repository=source.repository,
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
) -> Plan:
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
    return Plan(
        submission=replace(submission, uri=found.address),
        project=project,
        entry_point=entry_point,
        command=command,
        environment=found.environment,
        docker_args=docker_args,
        image=found.image,
        engine=connected,
        tracking_uri=tracking_uri,
        storage=storage,
        fetched=project.directory,
        image_project=found,
    )


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
