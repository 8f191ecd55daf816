"""Plans a run: reads and checks all that can be checked before anything is made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from container_backend.container import (
    DockerArgs,
    absolute_uri,
    asked_args,
    beneath,
    choose_owner,
    is_served,
    parse_docker_args,
    with_defaults,
    with_engine,
)
from container_backend.engine import connect
from container_backend.environment import ENVIRONMENT_KEYS, DockerEnvironment
from container_backend.errors import InvalidProject
from container_backend.image import is_image_address, reference_of
from container_backend.labels_and_tags import CODE_DIRECTORY
from container_backend.privileges import (
    Giver,
    Right,
    check_engine,
    check_special_files,
    engine_sockets,
)
from container_backend.project import (
    Command,
    Owner,
    Source,
    check_files,
    check_size,
    choose_storage,
    compute_command,
    confine_paths,
    fetch,
    may_start_steps,
    read_project,
    step_command,
)
from container_backend.runs.image_choice import which_environment, which_image
from container_backend.runs.image_project import ImageProject, open_image
from container_backend.runs.tracking import TrackingRequest
from container_backend.store import check_parameters, default_address

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

    from container_backend.config import BackendConfig
    from container_backend.engine import Engine, EngineFacts
    from container_backend.environment import EnvironmentSpec
    from container_backend.image import ImagePlan, ReadyImage
    from container_backend.privileges import Permissions
    from container_backend.project import EntryPoint, Project, Repository
    from container_backend.runs.submission import Repetition, Step, Submission
    from container_backend.store import Experiment


@dataclass(frozen=True)
class Plan:
    """A run that was checked as far as possible. Nothing is open or connected.

    Attributes:
        uri: The project's address for the record; of an image, with the digest.
        version: A branch, tag or commit, for git.
        parameters: As the caller gave them.
        docker_args: Those of the project, the config and the caller.
        given_docker_args: Those of the config and the caller, not parsed.
        docker_auth: A login for a registry, in MLflow's form.
        tracking_uri: Absolute.
        run_id: A run that exists already; None for a new one.
        storage: The folder for downloads, not yet made.
        temporary: Folders that are made for the run and removed with it; downloads stay in a folder
            that the caller names.
        is_fetched: The project is not a folder of the caller.
        permissions: What the project may ask for.
        repository: Has the project in its work tree; None if git is not asked.
        image_project: What the image says of the project; None for a project with files.
        owner: The user of the program, whom the code belongs to.
        is_served: The program reaches its store by the tracking proxy.
        step: What the run has of its driver; None for a run that the user has started.
        starts_steps: The program may start steps.
    """

    uri: str
    version: str | None
    project: Project
    entry_point: EntryPoint
    command: Command
    parameters: Mapping[str, object]
    config: BackendConfig
    docker_args: DockerArgs
    given_docker_args: Mapping[str, Any]
    docker_auth: Mapping[str, Any] | None = field(repr=False)
    image: ImagePlan | ReadyImage
    build_image: bool
    tracking_uri: str
    experiment: Experiment
    run_name: str | None
    run_id: str | None
    repetition: Repetition | None
    storage: Path
    temporary: tuple[Path, ...]
    is_fetched: bool
    permissions: Permissions
    repository: Repository | None
    image_project: ImageProject | None
    owner: Owner
    is_served: bool
    step: Step | None
    starts_steps: bool

    @property
    def place(self) -> str:
        """The project's folder in the container."""
        return self.step.place if self.step else CODE_DIRECTORY

    @property
    def sent_to(self) -> str | None:
        """Where the project's files are sent to; None if they are there."""
        return None if self.step is not None and self.step.is_there else self.place

    @property
    def tracking_request(self) -> TrackingRequest:
        """What is asked for the way of the program to its store."""
        recorded = self.repetition.recorded if self.repetition else frozenset()
        typed = [str(each) for name, each in self.parameters.items() if name not in recorded]
        if self.step is not None:
            typed = [*self.step.handed]
        network = self.docker_args.network
        is_own, way = self.permissions.allow(Right.STORE), self.config.tracking
        return TrackingRequest(
            self.tracking_uri, self.is_served, way, is_own, network, typed, self.starts_steps
        )


def make_plan(
    submission: Submission, connections: ExitStack, files: ExitStack
) -> tuple[Plan, Engine]:
    """Read and check everything, and connect to the engine.

    Args:
        connections: Closes the connection to the engine.
        files: Removes the files of a fetched project.

    Raises:
        ContainerBackendError: The project or the request is wrong, or there is no engine.
    """
    config, docker_args = submission.config, _docker_args(submission)
    storage = choose_storage(named := submission.storage_dir or config.storage_dir)
    engine, opened = _open_image(submission, connections, files)
    source = _source(submission, files, opened)
    project = opened.project if opened else read_project(source.directory, ENVIRONMENT_KEYS)
    permissions = submission.permissions(source)
    entry_point = project.entry_point(submission.entry_point)
    command = _command(submission, project, entry_point, storage, permissions)
    environment = (opened and opened.environment) or which_environment(
        submission, project, entry_point, permissions
    )
    _check(submission, project, environment)
    asked = asked_args(docker_args, environment, source.directory, permissions)
    engine = engine or _connected(submission, connections)
    tracking_uri, served = _tracking(submission, command, permissions, engine.facts)
    docker_args = _with_asked(docker_args, asked, project, command, engine, config)
    image = (opened and opened.image) or which_image(
        engine, environment, submission, project, permissions, docker_args.platform
    )
    return Plan(
        uri=opened.address if opened else submission.uri,
        version=submission.version,
        project=project,
        entry_point=entry_point,
        command=command,
        parameters=submission.parameters,
        config=config,
        docker_args=docker_args,
        given_docker_args=submission.given_docker_args,
        docker_auth=submission.docker_auth,
        image=image,
        build_image=submission.build_image,
        tracking_uri=tracking_uri,
        experiment=submission.experiment,
        run_name=submission.run_name,
        run_id=submission.run_id or None,
        repetition=submission.repetition,
        storage=storage,
        temporary=_made(source.temporary, storage if command.downloads and not named else None),
        is_fetched=source.temporary is not None,
        permissions=permissions,
        repository=source.repository,
        image_project=opened,
        owner=choose_owner(docker_args, is_rootless=engine.facts.is_rootless),
        is_served=served,
        step=submission.step,
        starts_steps=opened is None and submission.may_drive and may_start_steps(project),
    ), engine


def _made(*folders: Path | None) -> tuple[Path, ...]:
    return tuple(folder for folder in folders if folder is not None)


def _check(
    submission: Submission, project: Project, environment: EnvironmentSpec | DockerEnvironment
) -> None:
    """Check the files of a project, and refuse folders of this machine to a step, which has a container's."""
    check_files(project.directory)
    is_step = submission.step is not None
    if is_step and isinstance(environment, DockerEnvironment) and environment.volumes:
        raise InvalidProject(
            f"{environment.where}, key 'volumes': a step of a program gets no folder of this machine; it "
            "sees the project folder of its driver.",
            remedy="Give the driver the folder, by -A volume=…: its steps get it, too.",
        )


def _docker_args(submission: Submission) -> DockerArgs:
    args = parse_docker_args(submission.given_docker_args)
    if submission.step is None:
        return args
    return replace(args, environment={**args.environment, **submission.step.environment})


def _open_image(
    submission: Submission, connections: ExitStack, files: ExitStack
) -> tuple[Engine | None, ImageProject | None]:
    if not is_image_address(submission.uri):
        return None, None
    reference_of(submission.uri)  # a wrong address is refused without an engine
    engine = _connected(submission, connections)
    return engine, open_image(engine, submission, files)


def _source(submission: Submission, files: ExitStack, opened: ImageProject | None) -> Source:
    if opened is not None:
        directory = opened.project.directory
        return Source(directory, is_fetched=True, temporary=directory)
    repeated, step = submission.repetition, submission.step
    if step is not None and step.directory is not None:
        is_fetched = step.giver is not Giver.OWN
        return Source(step.directory, is_fetched, fetched=step.root)
    if repeated is None or repeated.directory is None:
        return fetch(
            submission.uri,
            submission.version,
            files,
            trust=submission.is_trusted,
            is_typed=step is None or step.trusts_address,
        )
    folder = repeated.temporary
    return Source(repeated.directory, is_fetched=True, temporary=folder, fetched=folder)


def _check_variables(*given: DockerArgs) -> None:
    for args in given:
        for name, value in args.environment.items():
            check_size("docker argument 'env'", f"the variable '{name}'", f"{name}={value}")


def _connected(submission: Submission, connections: ExitStack) -> Engine:
    connected = connect(submission.host)
    connections.callback(connected.close)
    return connected


def _tracking(
    submission: Submission, command: Command, permissions: Permissions, facts: EngineFacts
) -> tuple[str, bool]:
    """The address of the store, and whether the tracking proxy serves it."""
    check_parameters(command.parameters)
    given = submission.tracking_uri
    uri = absolute_uri(given) if given else default_address()
    return uri, is_served(uri, submission.config.tracking, permissions, facts)


def _command(
    submission: Submission,
    project: Project,
    entry_point: EntryPoint,
    storage: Path,
    permissions: Permissions,
) -> Command:
    values, repeated = submission.parameters, submission.repetition
    if submission.step is not None:
        return step_command(project, entry_point, values, submission.step.folder)
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
    """The caller's arguments over those of the project and the defaults.

    The engine's socket is in none of them, unless that is allowed.
    """
    _check_variables(asked, args)
    merged = with_defaults(beneath(asked, args), config.privileges, connected.facts)
    if config.allow_engine:
        return with_engine(merged, connected)
    folders = [Path(bind.partition(":")[0]) for bind in asked.binds if bind.startswith("/")]
    sockets = engine_sockets(connected.host.url)
    check_engine(project.where, [*command.paths, *folders], sockets)
    return merged
