"""The way of a run: source → project → command → environment → image → container → submitted run."""

from __future__ import annotations

import logging
import os
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.tracking import MlflowClient
from mlflow.utils import mlflow_tags

from container_backend import container, engine, logs, names, record, state
from container_backend._version import __version__
from container_backend.config import BackendConfig
from container_backend.container import ContainerSpec, base_environment, choose_owner
from container_backend.docker_args import DockerArgs, parse_docker_args
from container_backend.dockerfile import ImagePlan, plan_image
from container_backend.environment import EnvironmentSpec, read_environment
from container_backend.images import EnvironmentImage, find_image, find_or_build, resolve_base
from container_backend.progress import log_steps
from container_backend.project import Command, EntryPoint, Project, compute_command, read_project
from container_backend.record import Experiment
from container_backend.source import fetched, without_credentials
from container_backend.submitted import ContainerRun
from container_backend.tracking import (
    Mount,
    TrackingAccess,
    absolute_uri,
    local_path,
    plan_access,
    without_nested,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from container_backend.engine import Engine
    from container_backend.logs import Chunk
    from container_backend.record import RunRecord

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Submission:
    """What a caller asks for.

    Attributes:
        uri: The project: a folder, a git address, a zip file.
        entry_point: Which of its entry points.
        parameters: Name → value.
        version: A branch, tag or commit, for git.
        config: The backend config.
        docker_args: Over those of the config.
        docker_auth: A login for a registry, as MLflow takes it.
        tracking_uri: Of the tracking store; MLflow's current one by default.
        experiment: Where the run goes.
        run_name: Its name.
    """

    uri: str
    entry_point: str = "main"
    parameters: Mapping[str, object] = field(default_factory=dict)
    version: str | None = None
    config: BackendConfig = field(default_factory=BackendConfig)
    docker_args: Mapping[str, Any] = field(default_factory=dict)
    docker_auth: Mapping[str, Any] | None = field(default=None, repr=False)
    tracking_uri: str | None = None
    experiment: Experiment = field(default_factory=Experiment)
    run_name: str | None = None


@dataclass(frozen=True)
class Plan:
    """All that can be said of a run before anything is made."""

    submission: Submission
    project: Project
    entry_point: EntryPoint
    command: Command
    environment: EnvironmentSpec
    docker_args: DockerArgs
    image: ImagePlan
    engine: Engine
    tracking_uri: str


@contextmanager
def planned(submission: Submission) -> Iterator[Plan]:
    """Read and check everything; the plan is good while the context lasts.

    Raises:
        ContainerBackendError: Something is wrong, or there is no engine. Nothing was made.
    """
    docker_args = parse_docker_args({**submission.config.docker_args, **submission.docker_args})
    with fetched(submission.uri, submission.version) as directory:
        project = read_project(directory)
        entry_point = project.entry_point(submission.entry_point)
        command = compute_command(project, entry_point, submission.parameters)
        record.check_parameters(command.parameters)
        environment = read_environment(project)
        tracking_uri = absolute_uri(submission.tracking_uri or mlflow.get_tracking_uri())
        connected = engine.connect()
        with _closing_on_error(connected):
            yield Plan(
                submission=submission,
                project=project,
                entry_point=entry_point,
                command=command,
                environment=environment,
                docker_args=docker_args,
                image=_plan_image(connected, environment, submission),
                engine=connected,
                tracking_uri=tracking_uri,
            )


@contextmanager
def _closing_on_error(connected: Engine) -> Iterator[None]:
    """A run that was started closes its connection itself."""
    try:
        yield
    except BaseException:
        connected.close()
        raise


def _plan_image(
    connected: Engine, environment: EnvironmentSpec, submission: Submission
) -> ImagePlan:
    if environment.python_source == "this interpreter":
        _logger.info(
            "=== No Python version is declared: taking %s, as of this interpreter ===",
            environment.python,
        )
    reference = submission.config.base_image.replace("{version}", environment.python)
    base = resolve_base(connected, reference, submission.docker_auth)
    return plan_image(environment, base, connected.platform)


def launch(submission: Submission, *, write: Callable[[Chunk], None] | None = None) -> ContainerRun:
    """Start a run. It is followed by a thread of this process.

    Args:
        submission: What is asked for.
        write: Takes the program's output; this process's standard streams by default.

    Raises:
        ContainerBackendError: It could not be started. If there was a run by then, it has ended
            as FAILED, with the reason; no container is left.
        KeyboardInterrupt: As it came; the run has ended as KILLED.
    """
    with planned(submission) as plan:
        with record.reaching(plan.tracking_uri):
            client = MlflowClient(plan.tracking_uri)
            experiment_id, artifacts = record.find_experiment(
                client, submission.experiment, create=True
            )
        access = plan_access(plan.tracking_uri, artifacts, plan.engine)
        with record.reaching(plan.tracking_uri):
            run = record.create_run(
                client,
                str(experiment_id),
                uri=submission.uri,
                work_dir=plan.project.directory,
                version=submission.version,
                entry_point=submission.entry_point,
                parameters=plan.command.parameters,
                tags=_run_tags(plan),
                run_name=submission.run_name,
            )
        with record.ending_on_error(run):
            image = find_or_build(
                plan.engine,
                plan.image,
                plan.environment.indexes,
                docker_auth=submission.docker_auth,
                on_progress=log_steps(),
            )
            spec = container_spec(
                plan, access, image=image, run_id=run.run_id, experiment_id=run.experiment_id
            )
            return _start(plan, run, spec, image, write or logs.console())


def _start(
    plan: Plan,
    run: RunRecord,
    spec: ContainerSpec,
    image: EnvironmentImage,
    write: Callable[[Chunk], None],
) -> ContainerRun:
    """Create, fill and start the container; on any error none is left."""
    submitted: ContainerRun | None = None
    try:
        container_id = container.create(plan.engine, spec, plan.project.directory)
        # Before the start: from here on, whoever finds the run finds the container.
        run.set_tags(_container_tags(plan, container_id, image))
        _logger.info("=== Running command '%s' in run with ID '%s' ===", spec.command, run.run_id)
        output = logs.Output(plan.engine, container_id)
        container.start(plan.engine, container_id)
        run.set_status(state.RUNNING)
        submitted = ContainerRun(
            plan.engine, run, container_id, output, grace=plan.submission.config.grace, write=write
        )
        submitted.follow()
    except BaseException:
        if submitted is None:
            container.remove(plan.engine, spec.name)
        else:
            submitted.cancel()
        raise
    return submitted


def container_spec(
    plan: Plan,
    access: TrackingAccess,
    *,
    image: EnvironmentImage,
    run_id: str,
    experiment_id: str,
) -> ContainerSpec:
    """The container of a run."""
    args = plan.docker_args
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
        labels={
            **args.labels,
            names.LABEL_RUN_ID: run_id,
            names.LABEL_EXPERIMENT_ID: experiment_id,
            names.LABEL_TRACKING_URI: without_credentials(plan.tracking_uri),
            names.LABEL_ENVIRONMENT_HASH: plan.image.hash,
            names.LABEL_PROJECT: plan.project.name or plan.project.directory.name,
            names.LABEL_ENTRY_POINT: plan.entry_point.name,
            names.LABEL_VERSION: __version__,
        },
        mounts=mounts,
        owner=owner,
        network=network,
        groups=tuple(os.getgroups()) if access.mounts and hasattr(os, "getgroups") else (),
        args=args,
    )


def _run_tags(plan: Plan) -> dict[str, str]:
    """What is known of a run when it is created."""
    return {
        mlflow_tags.MLFLOW_PROJECT_ENV: "docker",
        mlflow_tags.MLFLOW_PROJECT_BACKEND: "docker",
        names.TAG_ENVIRONMENT_HASH: plan.image.hash,
    }


def _container_tags(plan: Plan, container_id: str, image: EnvironmentImage) -> dict[str, str]:
    """Where the run happens. The first two are those of MLflow's own docker runs."""
    return {
        mlflow_tags.MLFLOW_DOCKER_IMAGE_URI: image.reference,
        mlflow_tags.MLFLOW_DOCKER_IMAGE_ID: image.id,
        names.TAG_CONTAINER_ID: container_id,
        names.TAG_IMAGE: image.reference,
        names.TAG_IMAGE_DIGEST: image.digest,
        names.TAG_ENGINE: plan.engine.host.url,
    }


@dataclass(frozen=True)
class DryRun:
    """What would be done.

    Attributes:
        image: The image that would be used.
        container: The container that would be started, ``<run id>`` in place of the id.
        is_built: Whether the image is on the engine already.
    """

    image: ImagePlan
    container: ContainerSpec
    is_built: bool


def dry_run(submission: Submission) -> DryRun:
    """Say what :func:`launch` would do, and touch nothing.

    Raises:
        ContainerBackendError: What ``launch`` would raise before it makes anything.
    """
    with planned(submission) as plan, closing(plan.engine):
        experiment_id, artifacts = None, None
        store = local_path(plan.tracking_uri)
        if store is None or store.exists():  # MLflow makes a local store by looking at it
            with record.reaching(plan.tracking_uri):
                experiment_id, artifacts = record.find_experiment(
                    MlflowClient(plan.tracking_uri), submission.experiment, create=False
                )
        access = plan_access(plan.tracking_uri, artifacts, plan.engine)
        found = find_image(plan.engine, plan.image)
        image = found or EnvironmentImage(plan.image.tag, plan.image.tag, "", plan.image.hash)
        spec = container_spec(
            plan,
            access,
            image=replace(image, id=image.reference),
            run_id="<run id>",
            experiment_id=experiment_id or "<new experiment>",
        )
        return DryRun(plan.image, spec, is_built=found is not None)


def build_environment(submission: Submission) -> EnvironmentImage:
    """Find or build the environment image of a project, and do nothing with it.

    Raises:
        ContainerBackendError: The project or its environment is wrong, or the build fails.
    """
    with fetched(submission.uri, submission.version) as directory:
        environment = read_environment(read_project(directory))
        connected = engine.connect()
        with closing(connected):
            return find_or_build(
                connected,
                _plan_image(connected, environment, submission),
                environment.indexes,
                docker_auth=submission.docker_auth,
                on_progress=log_steps(),
            )
