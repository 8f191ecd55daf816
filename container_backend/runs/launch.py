"""The way of a run: source → project → command → environment → image → container → submitted run."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from shutil import rmtree
from typing import IO, TYPE_CHECKING

from container_backend import naming
from container_backend.container import (
    RUNNING,
    SCHEDULED,
    choose_owner,
    create_container,
    plan_access,
    start_container,
)
from container_backend.engine import containers
from container_backend.errors import ImageUnavailable
from container_backend.image import (
    ReadyImage,
    add_code,
    find_or_build,
    find_shared_code,
    have_image,
    image_lock,
    record_use,
)
from container_backend.machine import termination_interrupts
from container_backend.masking import secrets_in, without_credentials
from container_backend.project import archive_code, fetch_files
from container_backend.runs.container_spec import container_spec
from container_backend.runs.ending import retried
from container_backend.runs.ledger import Note, ensure_supervisor, ledger_of
from container_backend.runs.output import Output, console
from container_backend.runs.plan import Plan, make_plan
from container_backend.runs.run_files import RunFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container_backend.container import ContainerSpec
    from container_backend.engine import Engine
    from container_backend.image import EnvironmentImage, ImagePlan
    from container_backend.project import Project
    from container_backend.runs.foreground import Started, Watch
    from container_backend.runs.handle import ContainerRun
    from container_backend.runs.output import Chunk
    from container_backend.runs.submission import Submission
    from container_backend.store import RunRecord

_logger = logging.getLogger(__package__)


def run_to_end(
    submission: Submission, *, write: Callable[[Chunk], None] | None = None
) -> ContainerRun:
    """As :func:`launch_and_wait`, and say that it succeeded, or how to follow it."""
    if submission.config.detach:
        return launch_detached(submission)
    run = launch_and_wait(submission, write=write)
    _logger.info("=== Run (ID '%s') succeeded ===", run.run_id)
    return run


def launch_and_wait(
    submission: Submission, *, write: Callable[[Chunk], None] | None = None
) -> ContainerRun:
    """Launch, show the output, and wait; without waiting where the config says ``detach``.

    Args:
        submission: What is asked for.
        write: Takes the program's output; this process's standard streams by default.

    Raises:
        ContainerBackendError: The run could not be started, or failed.
        KeyboardInterrupt: On an interrupt or SIGTERM; the run has ended as KILLED. SIGHUP, of a
            terminal that is closed, does the same until the container is started; from then on
            it ends this process, as it ends others, and the run goes on.
    """
    if submission.config.detach:
        return launch_detached(submission)
    with termination_interrupts() as interrupts, ExitStack() as needed:
        watches: list[Watch] = []

        def before_start(plan: Plan, container_id: str) -> None:
            watches.append(_watch(plan, container_id))
            interrupts.hold()

        started = _start(submission, needed, before_start)
        from container_backend.runs.foreground import Foreground

        Foreground(started, watches[0], write or console(), interrupts).to_end()
        return _submitted(started)


def launch_detached(submission: Submission) -> ContainerRun:
    """Start a run that goes on by itself, whatever becomes of this process.

    Raises:
        ContainerBackendError: It could not be started. If there was a run by then, it has ended
            as FAILED, with the reason; no container is left.
        KeyboardInterrupt: As it came; the run has ended as KILLED.
    """
    with termination_interrupts() as interrupts:
        with ExitStack() as needed:
            started = _start(submission, needed, lambda _plan, _container: interrupts.hold())
            started.record.say_status(RUNNING)
            run = _submitted(started)
        try:
            interrupts.release()
        except KeyboardInterrupt:
            run.cancel()
            raise
    _logger.info(
        "=== Run (ID '%s') goes on by itself. See `container-backend logs -f %s`, "
        "`container-backend wait %s`, `container-backend cancel %s` ===",
        run.run_id, *[run.run_id[:12]] * 3,
    )  # fmt: skip
    return run


def _submitted(started: Started) -> ContainerRun:
    from container_backend.runs.handle import ContainerRun

    return ContainerRun(
        started.engine.host,
        started.record.store.tracking_uri,
        started.record.run_id,
        started.container_id,
    )


def _watch(plan: Plan, container_id: str) -> Watch:
    from container_backend.container import follower_of
    from container_backend.runs.foreground import Watch

    followed = follower_of(plan.engine.host).follow(container_id)
    return Watch(followed, Output(plan.engine, container_id))


def _start(
    submission: Submission, needed: ExitStack, before_start: Callable[[Plan, str], None]
) -> Started:
    """Start a run.

    Args:
        submission: What is asked for.
        needed: Closed when this process no longer sees to the run.
        before_start: Is given the id of the container when it is ready to start.
    """
    with ExitStack() as until_started:
        if submission.repetition is not None and submission.repetition.temporary is not None:
            until_started.callback(rmtree, submission.repetition.temporary, ignore_errors=True)
        plan = _plan(submission, needed, until_started)
        ledger = ledger_of(plan.engine.host)
        ensure_supervisor(plan.engine.host)
        from container_backend.store import (
            Store,
            alone_in_store,
            await_listener,
            create_run,
            download_file,
            ending_on_error,
            find_experiment,
        )

        fetch_files(plan.command.downloads, plan.storage, until_started, download_file)
        await_listener(plan.tracking_uri)
        with alone_in_store(plan.tracking_uri):
            store = Store(plan.tracking_uri)
            experiment = find_experiment(store, submission.experiment, create=True)
        assert experiment is not None  # noqa: S101 made where it was not there
        access = plan_access(plan.tracking_uri, experiment.artifact_uri, plan.engine)
        entry = ledger.new_entry()
        note = Note(
            without_credentials(plan.tracking_uri),
            experiment.experiment_id,
            temporary=tuple(map(str, plan.temporary)),
        )
        files = needed.enter_context(RunFiles(plan))
        lock = needed.enter_context(entry.lock())
        lock.own()
        entry.write(note)
        ensure_supervisor(plan.engine.host)
        # What goes wrong from here on until there is a run leaves the entry: the store may have
        # made one, and not have been able to say so.
        await_listener(plan.tracking_uri)
        run = create_run(
            store,
            experiment.experiment_id,
            uri=plan.submission.uri,
            repository=plan.repository,
            directory=plan.project.directory,
            version=submission.version,
            entry_point=submission.entry_point,
            parameters=plan.command.parameters,
            tags={**_run_tags(plan), naming.TAG_SUBMISSION: entry.submission},
            run_name=submission.run_name,
        )
        with (
            ending_on_error(run, then=entry.remove),
            archive_code(
                plan.project.directory, choose_owner(access), files.code, files.gather
            ) as code,
            held_image(
                plan.engine,
                plan.image,
                submission,
                plan.project,
                before_making=lambda: run.say_status(SCHEDULED),
            ) as image,
        ):
            entry.write(replace(note, run_id=run.run_id))
            spec = container_spec(
                plan,
                access,
                image=image,
                run_id=run.run_id,
                experiment_id=experiment.experiment_id,
                experiment_name=experiment.name,
                submission_id=entry.submission,
                recorded=files.recorded,
            )

            def ready(container_id: str) -> None:
                if not entry.is_there:  # on a full disk: a supervisor that knows of no run ends
                    ensure_supervisor(plan.engine.host)
                before_start(plan, container_id)

            container_id = _start_container(plan, run, spec, image, code, files, ready)
        until_started.pop_all()
        from container_backend.runs.foreground import Started

        return Started(
            plan.engine,
            run,
            container_id,
            entry,
            image.id,
            files,
            secrets_in(spec.environment),
            submission.config.grace,
            submission.config.timeout,
        )


def _plan(submission: Submission, connections: ExitStack, files: ExitStack) -> Plan:
    """A plan; a registry that does not answer is asked again as often as the config says."""

    def plan() -> Plan:
        with ExitStack() as own_connections, ExitStack() as own_files:
            made = make_plan(submission, own_connections, own_files)
            connections.push(own_connections.pop_all())
            files.push(own_files.pop_all())
        return made

    return retried(plan, submission.config.retries, ImageUnavailable)


@contextmanager
def held_image(
    engine: Engine,
    image: ImagePlan | ReadyImage,
    submission: Submission,
    project: Project,
    *,
    before_making: Callable[[], object] = lambda: None,
) -> Iterator[EnvironmentImage]:
    """The image on the engine: found, built or pulled. Nobody removes it while the context lasts.

    Args:
        engine: Which.
        image: Which.
        submission: How it may be had.
        project: Whose.
        before_making: Called where it is not there, before that takes its time.
    """
    name = project.name or project.directory.name
    if isinstance(image, ReadyImage):
        ready = image.found or retried(
            lambda: have_image(engine, image.reference, submission.docker_auth, before_making),
            submission.config.retries,
            ImageUnavailable,
        )
        if image.with_code:
            before_making()
            ready = add_code(engine, ready, name, project.directory)
        yield ready
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
            before_making=before_making,
        )
        record_use(engine.host, image.hash, name)
        yield found


def _start_container(
    plan: Plan,
    run: RunRecord,
    spec: ContainerSpec,
    image: EnvironmentImage,
    code: IO[bytes],
    files: RunFiles,
    before_start: Callable[[str], None],
) -> str:
    """Create, fill and start the container; on any error none is left. Gives its id."""
    shared = find_shared_code(plan.engine, spec, image, code, has_folders=files.code.has_folders)
    try:
        # The tags before the start: from here on, whoever finds the run finds the container.
        container_id = create_container(
            plan.engine,
            spec,
            code,
            lambda made: run.set_tags(_container_tags(plan, made, image, files.digest)),
            shared,
        )
        _logger.info("=== Running command '%s' in run with ID '%s' ===", spec.command, run.run_id)
        before_start(container_id)
        start_container(plan.engine, container_id)
    except BaseException:
        containers.give_up(plan.engine, spec.name)
        raise
    return container_id


def _run_tags(plan: Plan) -> dict[str, str]:
    """What is known of a run when it is created."""
    tags = {naming.MLFLOW_ENVIRONMENT: "docker", naming.MLFLOW_BACKEND: "docker"}
    if plan.image.hash:
        tags[naming.TAG_ENVIRONMENT_HASH] = plan.image.hash
    if plan.image_project is not None:
        tags[naming.TAG_BASE_DIGEST] = plan.image_project.base_digest
    if (repeated := plan.submission.repetition) is not None:
        tags |= {**repeated.tags, naming.TAG_RERUN_OF: repeated.run_id}
    return tags


def _container_tags(
    plan: Plan, container_id: str, image: EnvironmentImage, code_digest: str
) -> dict[str, str]:
    """Where the run happens, and with what. The first two are those of MLflow's own docker runs."""
    tags = {
        naming.MLFLOW_IMAGE_NAME: image.reference,
        naming.MLFLOW_IMAGE_ID: image.id,
        naming.TAG_CONTAINER_ID: container_id,
        naming.TAG_IMAGE: image.reference,
        naming.TAG_IMAGE_DIGEST: image.digest,
        naming.TAG_ENGINE: without_credentials(plan.engine.host.url),
        naming.TAG_CODE_DIGEST: code_digest,
    }
    if image.repository_digest:
        tags[naming.TAG_REPOSITORY_DIGEST] = image.repository_digest
    return tags
