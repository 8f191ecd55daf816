"""What is asked for → all that can be said of a run before anything is made."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from container_backend import engine, names
from container_backend._version import __version__
from container_backend.code import check_files
from container_backend.command import Command, compute_command
from container_backend.container import ContainerSpec, base_environment, choose_owner
from container_backend.docker_args import DockerArgs, parse_docker_args
from container_backend.downloads import choose_storage
from container_backend.environment import read_environment
from container_backend.errors import InvalidConfig, InvalidProject
from container_backend.image_choice import which_image
from container_backend.image_project import ImageProject, open_image
from container_backend.masking import without_credentials
from container_backend.owner import owner_id
from container_backend.project import EntryPoint, Project, read_project
from container_backend.ready_image import ReadyImage
from container_backend.references import is_image_address, reference_of
from container_backend.source import Source, fetch
from container_backend.spec import DockerEnvironment, EnvironmentSpec
from container_backend.tracking import (
    Mount,
    TrackingAccess,
    absolute_uri,
    without_nested,
)

if TYPE_CHECKING:
    from contextlib import ExitStack

    from container_backend.config import BackendConfig
    from container_backend.dockerfile import ImagePlan
    from container_backend.engine import Engine
    from container_backend.images import EnvironmentImage
    from container_backend.submission import Submission

_logger = logging.getLogger(__name__)


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
    project = read_project(source.directory)
    entry_point = project.entry_point(submission.entry_point)
    command = compute_command(project, entry_point, submission.parameters, storage)
    environment = read_environment(project, entry_point, config)
    check_files(project.directory)
    if isinstance(environment, DockerEnvironment):
        docker_args = _with_project(docker_args, environment, source, config)
    connected = _connected(submission, connections)
    tracking_uri = _tracking_uri(submission, command)
    if config.allow_engine:
        docker_args = _with_engine(docker_args, connected)
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
    found = open_image(connected, submission, files)
    project = found.project
    entry_point = project.entry_point(submission.entry_point)
    command = compute_command(project, entry_point, submission.parameters, storage)
    source = Source(project.directory, is_fetched=True, temporary=project.directory)
    docker_args = _with_project(docker_args, found.environment, source, submission.config)
    tracking_uri = _tracking_uri(submission, command)
    if submission.config.allow_engine:
        docker_args = _with_engine(docker_args, connected)
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
        fetched=source.temporary,
        image_project=found,
    )


def _connected(submission: Submission, connections: ExitStack) -> Engine:
    connected = engine.connect(submission.host)
    connections.callback(connected.close)
    return connected


def _tracking_uri(submission: Submission, command: Command) -> str:
    # MLflow takes seconds to import: what is wrong so far was said without it.
    import mlflow

    from container_backend.record import check_parameters

    check_parameters(command.parameters)
    return absolute_uri(submission.tracking_uri or mlflow.get_tracking_uri())


def _with_project(
    args: DockerArgs, environment: DockerEnvironment, source: Source, config: BackendConfig
) -> DockerArgs:
    """What the project's ``docker_env`` asks for, beneath what the caller asks for."""
    if environment.volumes and source.is_fetched and not config.trust_project:
        raise InvalidProject(
            f"{environment.where}, key 'volumes': this project was fetched, and wants to see "
            f"{', '.join(volume.partition(':')[0] for volume in environment.volumes)} "
            "of this machine.",
            remedy="If you trust it, allow it: -c '{\"trust_project\": true}'.",
        )
    volumes = [
        f"{source.directory}/{volume}" if volume.startswith(".") else volume
        for volume in environment.volumes
    ]
    own = parse_docker_args({"volume": volumes, "env": list(environment.variables)})
    return replace(
        args,
        binds=[*own.binds, *args.binds],
        environment={**own.environment, **args.environment},
    )


def _with_engine(args: DockerArgs, connected: Engine) -> DockerArgs:
    """The engine's socket for the program, which can then start siblings of its own container."""
    url = connected.host.url
    if not url.startswith("unix://"):
        raise InvalidConfig(
            f"'allow_engine' needs an engine on a socket of this machine, not {url}."
        )
    path = Path(url.removeprefix("unix://"))
    try:
        group = path.stat().st_gid
    except OSError as error:
        raise InvalidConfig(f"'allow_engine': '{path}': {error.strerror}.") from error
    return replace(
        args,
        binds=[*args.binds, f"{path}:{path}"],
        environment={**args.environment, "DOCKER_HOST": url, names.ENV_OWNER: owner_id()},
        groups=[*args.groups, group],
    )


def container_spec(
    plan: Plan,
    access: TrackingAccess,
    *,
    image: EnvironmentImage,
    run_id: str,
    experiment_id: str,
    experiment_name: str = "",
    submission_id: str = "",
    recorded: str = "",
) -> ContainerSpec:
    """The container of a run; ``recorded`` is what is written down of it."""
    args = plan.docker_args
    config = plan.submission.config
    mounts = without_nested(
        [*access.mounts, *(Mount(path, read_only=True) for path in plan.command.paths)]
    )
    owner = choose_owner(access)
    network = args.network or ("host" if access.host_network else None)
    if access.host_network and network != "host":
        _logger.warning(
            "The tracking server %s listens on this machine only; from the network '%s' the "
            "program may not reach it",
            access.uri,
            network,
        )
    groups = list(os.getgroups()) if access.mounts and hasattr(os, "getgroups") else []
    labels = {
        **names.NO_LABELS,
        names.LABEL_RUN_ID: run_id,
        names.LABEL_EXPERIMENT_ID: experiment_id,
        names.LABEL_TRACKING_URI: without_credentials(plan.tracking_uri),
        names.LABEL_PROJECT: plan.project.name or plan.project.directory.name,
        names.LABEL_ENTRY_POINT: plan.entry_point.name,
        names.LABEL_VERSION: __version__,
        names.LABEL_OWNER: owner_id(),
        names.LABEL_SUBMISSION: submission_id,
        names.LABEL_EXPERIMENT: experiment_name,
        names.LABEL_KEEP: config.keep,
        names.LABEL_IMAGE: image.reference,
        names.LABEL_RECORD: recorded,
        names.LABEL_ENVIRONMENT_HASH: image.hash,
        names.LABEL_PYTHON: "" if isinstance(plan.image, ReadyImage) else plan.image.python,
    }
    if config.timeout is not None:
        labels[names.LABEL_TIMEOUT] = f"{config.timeout:g}"
    if config.retries:
        labels[names.LABEL_RETRIES] = str(config.retries)
        labels[names.LABEL_RETRY_PROGRAM] = str(config.retry_program).lower()
    return ContainerSpec(
        name=names.container_name(run_id),
        image=image.id,
        command=plan.command.line,
        environment={
            **base_environment(owner),
            **access.environment,
            **args.environment,
            "MLFLOW_RUN_ID": run_id,
            "MLFLOW_TRACKING_URI": access.uri,
            "MLFLOW_EXPERIMENT_ID": experiment_id,
        },
        labels={**args.labels, **labels},
        mounts=mounts,
        owner=owner,
        network=network,
        groups=tuple(dict.fromkeys([*groups, *args.groups])),
        args=args,
        entrypoint=plan.image.entrypoint if isinstance(plan.image, ReadyImage) else None,
        stop_signal=config.stop_signal,
        stop_seconds=math.ceil(config.grace),
        python_path=image.python_path,
    )
