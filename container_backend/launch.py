"""The way of a run: source → project → command → environment → image → container → submitted run."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

from container_backend import container, logs, names, state
from container_backend.code import archive_code
from container_backend.container import choose_owner
from container_backend.dockerfile import ImagePlan
from container_backend.downloads import fetched_files
from container_backend.image_use import image_lock, record_use
from container_backend.images import EnvironmentImage, find_or_build
from container_backend.interrupts import termination_interrupts
from container_backend.plan import Plan, container_spec, make_plan
from container_backend.ready_image import ReadyImage, add_code, have_image
from container_backend.tracking import plan_access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container_backend.container import ContainerSpec
    from container_backend.engine import Engine
    from container_backend.logs import Chunk
    from container_backend.project import Project
    from container_backend.record import RunRecord
    from container_backend.submission import Submission
    from container_backend.submitted import ContainerRun

_logger = logging.getLogger(__name__)


def run_to_end(submission: Submission) -> ContainerRun:
    """As :func:`launch_and_wait`, and say that it succeeded."""
    run = launch_and_wait(submission)
    _logger.info("=== Run (ID '%s') succeeded ===", run.run_id)
    return run


def launch_and_wait(submission: Submission) -> ContainerRun:
    """Launch, stream the output, and wait.

    Raises:
        ContainerBackendError: The run could not be started, or failed.
        KeyboardInterrupt: On an interrupt, SIGTERM or SIGHUP; the run has ended as KILLED.
    """
    with termination_interrupts():
        run = launch(submission)
        run.result()
    return run


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
    with ExitStack() as needed:
        plan = make_plan(submission, needed)
        from mlflow.tracking import MlflowClient

        from container_backend import record

        needed.enter_context(fetched_files(plan.command.downloads, plan.storage, keep=plan.keeps))
        with record.reaching(plan.tracking_uri), record.alone_in_store(plan.tracking_uri):
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
        with (
            record.ending_on_error(run),
            archive_code(plan.project.directory, choose_owner(access)) as code,
            held_image(plan.engine, plan.image, submission, plan.project) as image,
        ):
            spec = container_spec(
                plan, access, image=image, run_id=run.run_id, experiment_id=run.experiment_id
            )
            return _start(plan, run, spec, image, code, write or logs.console(), needed)


@contextmanager
def held_image(
    engine: Engine, image: ImagePlan | ReadyImage, submission: Submission, project: Project
) -> Iterator[EnvironmentImage]:
    """The image on the engine: found, built or pulled. Nobody removes it while the context lasts."""
    name = project.name or project.directory.name
    if isinstance(image, ReadyImage):
        ready = have_image(engine, image.reference, submission.docker_auth)
        yield add_code(engine, ready, name, project.directory) if image.with_code else ready
        return
    with image_lock(engine.host, image.hash) as lock:
        found = find_or_build(
            engine,
            image,
            lock,
            docker_auth=submission.docker_auth,
            rebuild=submission.config.rebuild,
            repository=submission.config.image_repository,
            push=submission.config.push,
        )
        record_use(engine.host, image.hash, name)
        yield found


def _start(
    plan: Plan,
    run: RunRecord,
    spec: ContainerSpec,
    image: EnvironmentImage,
    code: IO[bytes],
    write: Callable[[Chunk], None],
    needed: ExitStack,
) -> ContainerRun:
    """Create, fill and start the container; on any error none is left."""
    from container_backend.submitted import ContainerRun

    submitted: ContainerRun | None = None
    try:
        container_id = container.create(plan.engine, spec, code)
        # Before the start: from here on, whoever finds the run finds the container.
        run.set_tags(_container_tags(plan, container_id, image))
        _logger.info("=== Running command '%s' in run with ID '%s' ===", spec.command, run.run_id)
        output = logs.Output(plan.engine, container_id)
        container.start(plan.engine, container_id)
        run.set_status(state.RUNNING)
        submitted = ContainerRun(
            plan.engine,
            run,
            container_id,
            output,
            grace=plan.submission.config.grace,
            write=write,
            needed=needed.pop_all(),
            dockerfile=plan.image.dockerfile if isinstance(plan.image, ImagePlan) else None,
        )
        submitted.follow()
    except BaseException:
        if submitted is None:
            container.give_up(plan.engine, spec.name)
        else:
            submitted.cancel()
        raise
    return submitted


def _run_tags(plan: Plan) -> dict[str, str]:
    """What is known of a run when it is created."""
    from mlflow.utils import mlflow_tags

    tags = {mlflow_tags.MLFLOW_PROJECT_ENV: "docker", mlflow_tags.MLFLOW_PROJECT_BACKEND: "docker"}
    if isinstance(plan.image, ImagePlan):
        tags[names.TAG_ENVIRONMENT_HASH] = plan.image.hash
    return tags


def _container_tags(plan: Plan, container_id: str, image: EnvironmentImage) -> dict[str, str]:
    """Where the run happens. The first two are those of MLflow's own docker runs."""
    from mlflow.utils import mlflow_tags

    return {
        mlflow_tags.MLFLOW_DOCKER_IMAGE_URI: image.reference,
        mlflow_tags.MLFLOW_DOCKER_IMAGE_ID: image.id,
        names.TAG_CONTAINER_ID: container_id,
        names.TAG_IMAGE: image.reference,
        names.TAG_IMAGE_DIGEST: image.digest,
        names.TAG_ENGINE: plan.engine.host.url,
    }
