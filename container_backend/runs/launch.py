"""Launches a run: source, project, command, environment, image, container, start."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from shutil import rmtree
from typing import TYPE_CHECKING

from container_backend import labels_and_tags
from container_backend.container import (
    RUNNING,
    SCHEDULED,
    create_container,
    find_shared_code,
    follower_of,
    give_up,
    start_container,
)
from container_backend.errors import ImageUnavailable
from container_backend.machine import count_of, termination_interrupts
from container_backend.masking import secrets_in, without_credentials
from container_backend.project import archive_code, fetch_files
from container_backend.runs.container_spec import container_spec
from container_backend.runs.ending import retried
from container_backend.runs.image_choice import held_image
from container_backend.runs.ledger import Note, claiming, ensure_supervisor, ledger_of
from container_backend.runs.output import Output, console
from container_backend.runs.plan import Plan, make_plan
from container_backend.runs.record import image_tags, run_tags
from container_backend.runs.run_files import RunFiles
from container_backend.runs.steps import Driving
from container_backend.runs.tracking import ProgramTracking
from container_backend.store import (
    await_listener,
    create_run,
    download_file,
    ending_on_error,
    find_place,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.container import Followed
    from container_backend.engine import Engine
    from container_backend.project import CodeArchive
    from container_backend.runs.foreground import Started
    from container_backend.runs.handle import ContainerRun
    from container_backend.runs.output import Chunk
    from container_backend.runs.submission import Submission
    from container_backend.store import RunRecord

_logger = logging.getLogger(__package__)


def run_to_end(
    submission: Submission, *, write: Callable[[Chunk], None] | None = None
) -> ContainerRun:
    """As :func:`launch_and_wait`, and log that the run succeeded."""
    run = launch_and_wait(submission, write=write)
    if not submission.config.detach:
        _logger.info("=== Run (ID '%s') succeeded ===", run.run_id)
    return run


def launch_and_wait(
    submission: Submission,
    *,
    write: Callable[[Chunk], None] | None = None,
    launching: Callable[[Submission], Launch] | None = None,
) -> ContainerRun:
    """Launch, show the output, and wait; return after the start if the config says ``detach``.

    Args:
        write: Takes the program's output; by default it goes to this process's standard streams.
        launching: Makes another :class:`Launch`.

    Raises:
        ContainerBackendError: The run could not be started, or failed.
        KeyboardInterrupt: After an interrupt or SIGTERM; a run that was created has ended as KILLED. SIGHUP, from
            a closed terminal, does the same before the start. After the start it ends this process,
            and the run goes on.
    """
    if submission.config.detach:
        return launch_detached(submission)
    with termination_interrupts() as interrupts, (launching or Launch)(submission) as launch:
        launch.prepare()
        followed, output = launch.watch()
        interrupts.hold()
        started = launch.start()
        from container_backend.runs.foreground import Foreground

        Foreground(started, followed, output, write or console(), interrupts).to_end()
        return started.as_run()


def launch_detached(submission: Submission) -> ContainerRun:
    """Start a run that goes on when this process ends.

    Raises:
        ContainerBackendError: The run could not be started. A run that was created has ended as
            FAILED, with the reason; no container is left.
        KeyboardInterrupt: A run that was created has ended as KILLED.
    """
    with termination_interrupts() as interrupts:
        with Launch(submission) as launch:
            launch.prepare()
            interrupts.hold()
            started = launch.start()
            started.record.say_status(RUNNING)
            run = started.as_run()
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


class Launch(ExitStack):
    """The steps from a submission to a started container.

    The ``with`` block lasts while this process is responsible for the run. An error before the
    start undoes the steps in reverse.
    """

    def __init__(self, submission: Submission) -> None:
        super().__init__()
        self._submission = submission
        self._detaches = submission.config.detach
        self._needed = self.enter_context(ExitStack())
        self._until_started = self.enter_context(ExitStack())
        self._files = ExitStack()
        self._until_created = ExitStack()
        self._record: RunRecord | None = None

    def prepare(self) -> None:
        """All steps before the start."""
        self._undo(self._files.close)
        self._make_plan()
        self._open_store()
        self._reserve()
        files, plan = self._run_files, self._plan
        code = self._until_started.enter_context(
            archive_code(plan.project.directory, plan.owner, files.code, files.gather, plan.sent_to)
        )
        image = held_image(
            self._engine, plan.image, plan.project, plan.config, plan.docker_auth,
            code=code, before_making=lambda: self._have_run().say_status(SCHEDULED),
        )  # fmt: skip
        self._image = self._until_started.enter_context(image)
        tags = image_tags(self._engine.host, self._image, files.digest)
        self._create_container(code, self._have_run(tags), tags)

    def watch(self) -> tuple[Followed, Output]:
        """Follow the container and its output, before the start."""
        followed = follower_of(self._engine.host).follow(self._container_id)
        return followed, Output(self._engine, self._container_id)

    def start(self) -> Started:
        """Start the program. Later errors do not undo the run."""
        self._driving.start()
        start_container(self._engine, self._container_id)
        self._until_started.close()
        from container_backend.runs.foreground import Started

        return Started(
            self._engine,
            self._have_run(),
            self._container_id,
            self._entry,
            self._image.id,
            self._run_files,
            secrets_in(self._spec.environment),
            self._plan.config,
            count_of(self._spec.labels.get(labels_and_tags.LABEL_MOST_OUTPUT)),
        )

    def _undo(self, undo: Callable[[], object], until: ExitStack | None = None) -> None:
        """Call a function if an error comes before the start, or before ``until`` is closed."""

        def leave(kind: object, *_: object) -> None:
            if kind is not None:
                undo()

        (until or self._until_started).push(leave)

    def _make_plan(self) -> None:
        repeated = self._submission.repetition
        if repeated is not None and repeated.temporary is not None:
            self._files.callback(rmtree, repeated.temporary, ignore_errors=True)
        retries = self._submission.config.retries
        self._plan, self._engine = retried(self._try_to_plan, retries, ImageUnavailable)
        self._ledger = ledger_of(self._engine.host)
        ensure_supervisor(self._engine.host)
        self._tracking = ProgramTracking(self._engine, self._plan.tracking_request)
        downloads = self._plan.command.downloads
        fetch_files(downloads, self._plan.storage, self._files, download_file)

    def _try_to_plan(self) -> tuple[Plan, Engine]:
        with ExitStack() as connections, ExitStack() as files:
            made = make_plan(self._submission, connections, files)
            self._needed.push(connections.pop_all())
            self._files.push(files.pop_all())
        return made

    def _open_store(self) -> None:
        plan, self._store = self._plan, self._tracking.open_store()
        found, self._resumed = find_place(self._store, plan.experiment, plan.run_id)
        assert found is not None  # noqa: S101 created if it was missing
        self._experiment = found

    def _reserve(self) -> None:
        """Write a note of the run to come, and lock its entry."""
        self._entry = self._ledger.new_entry()
        self._run_files = RunFiles(self._plan)
        self._needed.enter_context(self._run_files.code)
        self._needed.enter_context(self._entry.lock()).own()
        self._until_started.enter_context(self._until_created)
        self._undo(self._entry.remove, self._until_created)
        with claiming(self._ledger, self._engine, self._plan.run_id):
            self._write_note()
        ensure_supervisor(self._engine.host)

    def _write_note(self, record: RunRecord | None = None, container: str = "") -> None:
        note = Note(
            without_credentials(self._plan.tracking_uri),
            self._experiment.experiment_id,
            record.run_id if record and (container or record.awaits is None) else "",
            temporary=tuple(map(str, self._plan.temporary)),
            artifact_uri=record.run.artifact_uri if record else "",
            container=container,
            record=dict(self._run_files.digests),
            proxy=self._tracking.proxy,
            resumes_run=self._plan.run_id or "",
        )
        self._entry.write(note)

    def _have_run(self, tags: Mapping[str, str] | None = None) -> RunRecord:
        """The run, created with these tags if that has not been done."""
        if self._record is None:
            self._record = self._create_run(tags or {})
        return self._record

    def _create_run(self, tags: Mapping[str, str]) -> RunRecord:
        """Create the run. After an error the note stays: the store may have created the run."""
        plan = self._plan
        await_listener(plan.tracking_uri)
        self._until_created.close()
        submission = {labels_and_tags.TAG_SUBMISSION: self._entry.submission}
        record = create_run(
            self._store,
            self._experiment.experiment_id,
            uri=plan.uri,
            repository=plan.repository,
            directory=plan.project.directory,
            version=self._plan.version,
            entry_point=plan.entry_point.name,
            parameters=plan.command.parameters,
            tags={**run_tags(plan), **submission, **tags},
            run_name=self._plan.run_name,
            resumed=self._resumed,
        )
        self._until_started.enter_context(ending_on_error(record, self._entry.remove))
        self._run_files.run_id = record.run_id
        self._write_note(record)
        return record

    def _create_container(
        self, code: CodeArchive, record: RunRecord, tags: Mapping[str, str]
    ) -> None:
        """Create the container; before its start, other processes find it by its note and labels.

        Args:
            tags: Set if the run was created without them.
        """
        image, files, plan = self._image, self._run_files, self._plan

        def created(container: str) -> None:
            self._write_note(record, container)
            # A process that waits sets the tag later.
            known = {labels_and_tags.TAG_CONTAINER_ID: container} if self._detaches else {}
            record.begin({**tags, **known})

        location = self._experiment.artifact_uri
        access = self._tracking.access(location, record.run, self._entry, image.id)
        self._driving = driving = Driving(plan, self._engine, self._entry, record)
        self._spec = container_spec(
            plan,
            self._engine,
            access,
            image=image,
            run_id=record.run_id,
            experiment_id=self._experiment.experiment_id,
            experiment_name=self._experiment.name,
            submission_id=self._entry.submission,
            recorded=files.recorded,
            steps=driving.variables(access, image),
        )
        shared = find_shared_code(
            self._engine, self._spec, image, code, self._ledger.shared_code,
            has_folders=plan.sent_to is not None and files.code.has_folders,
        )  # fmt: skip
        self._undo(driving.remove_folder)
        driving.make_folder()
        self._undo(partial(give_up, self._engine, self._spec))
        self._container_id = create_container(self._engine, self._spec, code, created, shared)
        self._tracking.created(access, self._entry, self._container_id)
        _logger.info(
            "=== Running command '%s' in run with ID '%s' ===", self._spec.command, record.run_id
        )
        if not self._entry.is_there:  # the disk is full: a supervisor without notes ends
            ensure_supervisor(self._engine.host)
