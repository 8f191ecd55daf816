"""One step: planned and run as a run of its own, unless its environment is that of its driver."""

from __future__ import annotations

import logging
import posixpath
import shutil
import time
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.config import BackendConfig
from container_backend.container import (
    ACCESS_VARIABLES,
    FAILED,
    FINISHED,
    KILLED,
    TERMINAL,
    cancel_program,
    find_container,
)
from container_backend.engine import connect, keep_facts
from container_backend.errors import ContainerBackendError, EngineError, RunFailed, RunKilled
from container_backend.image import is_image_address
from container_backend.labels_and_tags import STEP_DIRECTORY
from container_backend.machine import configure_logging
from container_backend.privileges import MOST_OUTPUT_OF_STEP, TRUST_OPTION, Giver
from container_backend.project import is_git_address, sub_projects, unpack
from container_backend.runs.launch import Launch, launch_and_wait
from container_backend.runs.ledger import StepsFolder, is_signed
from container_backend.runs.output import console
from container_backend.runs.prepare import build_steps
from container_backend.runs.steps.driving import identity_of
from container_backend.runs.submission import Step, Submission
from container_backend.runs.tracking import open_store
from container_backend.store import Experiment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.runs.ledger import Asked, Granted, StepFolder
    from container_backend.runs.output import Chunk
    from container_backend.runs.steps.driver import Driver
    from container_backend.store import RunRecord

_logger = logging.getLogger(__package__)
_PAUSE_SECONDS: Final = 0.5
_ARGS_NOT_OF_STEPS: Final = {"entrypoint", "hostname", "h", "label", "l", "workdir", "w"}
# A project with more projects in it is no driver of all of them.
_MOST_PREPARED: Final = 16
_MOST_UNPACKED: Final = 256 * 1024**2


class StaysInPlace(Exception):
    """The environment of a step is that of its driver."""


class _Launch(Launch):
    """The launch of a step."""

    def __init__(self, driver: Driver, folder: StepFolder, submission: Submission) -> None:
        super().__init__(submission)
        self._stays_with = "" if folder.asked()[0].is_beside else driver.image
        self._folder = folder

    def _make_plan(self) -> None:
        super()._make_plan()
        step = self._plan.step
        in_container = step is not None and step.directory is not None
        if in_container and identity_of(self._plan.image) == self._stays_with:
            raise StaysInPlace

    def _create_run(self, tags: Mapping[str, str]) -> RunRecord:
        record = super()._create_run(tags)
        self._folder.say(run_id=record.run_id)
        return record


def run_step(driver: Driver, folder: StepFolder) -> None:
    """Run a step to its end, and say what becomes of it. The output goes to the standard streams."""
    configure_logging()
    keep_facts(driver.host)
    ended: dict[str, str] = {"status": FINISHED}
    submission = None
    try:
        submission = _submission(driver, folder)
        launch_and_wait(
            submission,
            write=None if driver.is_trusted else _within(MOST_OUTPUT_OF_STEP),
            launching=partial(_Launch, driver, folder),
        )
    except StaysInPlace:
        folder.say(in_place=True)
    except RunFailed as error:
        status = KILLED if isinstance(error, RunKilled) else FAILED
        ended = {"status": status, "reason": _reason(error)}
    except KeyboardInterrupt:
        ended = {"status": KILLED, "reason": "cancelled"}
    except ContainerBackendError as error:
        ended = {"status": FAILED, "reason": _shown(str(error), submission)}
    except Exception:
        _logger.exception("step %s", folder.path.name)
        ended = {"status": FAILED, "reason": f"it could not be run; see '{folder.log}'"}
    finally:
        shutil.rmtree(folder.unpacked, ignore_errors=True)
    folder.say(**ended, has_ended=True)


def _shown(reason: str, submission: Submission | None) -> str:
    """A message about the copy of a project, as one about the project in the container."""
    step = submission.step if submission is not None else None
    if step is None or step.directory is None:
        return reason
    return reason.replace(str(step.directory), step.place)


def _within(most: int) -> Callable[[Chunk], None]:
    """Writes to the standard streams, up to so many bytes: they are a file on this machine's disk."""
    write, left = console(), [most]

    def write_some(chunk: Chunk) -> None:
        if left[0] > 0:
            left[0] -= len(chunk.data)
            write(chunk)

    return write_some


def prepare(driver: Driver) -> None:
    """Build the images of the steps that can be seen beforehand, while the driver runs."""
    if len(sub_projects(Path(driver.directory))) > _MOST_PREPARED:
        return
    with suppress(ContainerBackendError):  # the step says so itself
        build_steps(
            Submission(
                uri=driver.directory,
                config=BackendConfig.model_validate(driver.config),
                docker_auth=driver.docker_auth,
                host=driver.host,
                step=Step(Giver[driver.giver], driver.depth + 1),
            )
        )


def remove_folder(driver: Driver) -> None:
    """Remove the project folder of a driver and its steps, which have ended, unless a container is kept."""
    try:
        with closing(connect(driver.host)) as engine:
            for name in driver.volumes:
                engine.volumes.remove(name)
    except EngineError as error:
        _logger.warning("a project folder stays: %s", error)


def conclude(driver: Driver, folder: StepFolder) -> None:
    """Say how a step ended whose process was killed: the supervisor finishes its run."""
    said = folder.said()
    if not said.run_id:
        folder.say(status=FAILED, reason="its process was killed", has_ended=True)
        return
    if folder.is_cancelled or StepsFolder(folder.path.parent).are_to_end:
        with closing(connect(driver.host)) as engine:
            found = find_container(engine, said.run_id, is_signed)
            if found is not None:
                cancel_program(engine, found.id)
    store = open_store(driver.tracking_uri)
    while (run := store.find_run(said.run_id)) is not None and run.status not in TERMINAL:
        time.sleep(_PAUSE_SECONDS)
    if run is None:
        folder.say(status=KILLED, reason="its run was deleted", has_ended=True)
        return
    reason = run.tags.get(labels_and_tags.TAG_REASON, "")
    folder.say(status=run.status, reason=reason, has_ended=True)


def _reason(error: RunFailed) -> str:
    return error.message.partition(": ")[2] or error.message


def _submission(driver: Driver, folder: StepFolder) -> Submission:
    """Raises ContainerBackendError."""
    asked, granted = folder.asked()
    args = {
        name: value
        for name, value in driver.docker_args.items()
        if name.lstrip("-") not in _ARGS_NOT_OF_STEPS
    }
    step = _step(driver, asked, folder, granted)
    return Submission(
        uri=asked.uri if step.directory is None else driver.source_of(str(asked.directory))[0],
        entry_point=asked.entry_point,
        parameters=asked.parameters,
        version=asked.version,
        config=BackendConfig.model_validate(driver.config).of_step(),
        docker_args=args,
        docker_auth=driver.docker_auth,
        tracking_uri=driver.tracking_uri,
        experiment=Experiment(_experiment(driver, asked), None),
        run_id=granted.run_id,
        host=driver.host,
        step=step,
    )


def _experiment(driver: Driver, asked: Asked) -> str:
    return (driver.is_own and asked.experiment_id) or driver.experiment_id


def _step(driver: Driver, asked: Asked, folder: StepFolder, granted: Granted) -> Step:
    depth, directory = driver.depth + 1, asked.directory
    tags = {labels_and_tags.MLFLOW_PARENT_RUN: granted.parent}
    step = Step(
        giver=Giver[driver.giver],
        depth=depth,
        volumes=driver.volumes,
        place=f"{STEP_DIRECTORY}{depth}",
        folder=asked.folder,
        environment=_variables(driver, asked),
        sources=driver.sources,
        tags=tags,
        handed=tuple(granted.handed),
    )
    if directory is None:
        _check_address(asked.uri)
        is_drivers = asked.uri.partition("#")[0] == driver.address
        return replace(step, giver=Giver.FETCHED, trusts_address=is_drivers)
    root = folder.unpacked.resolve()
    step = replace(step, directory=_unpacked(asked, folder), root=root)
    if driver.place_of(directory) is None:
        return step
    name, found = driver.source_of(directory)
    tags |= {**found, labels_and_tags.MLFLOW_SOURCE_NAME: name}
    return replace(step, place=directory, is_there=True, tags=tags)


def _check_address(uri: str) -> None:
    if is_image_address(uri) or not is_git_address(uri):
        raise ContainerBackendError(
            f"There is no project at '{uri}' in the container, and this is no address of one."
        )


def _unpacked(asked: Asked, folder: StepFolder) -> Path:
    """The project, of which a copy was sent, on this machine."""
    directory, root = str(asked.directory), str(asked.root)
    try:
        if posixpath.normpath(directory) != directory:
            raise ValueError("its path is not plain")
        below = PurePosixPath(directory).relative_to(root)
        folder.unpacked.mkdir(mode=0o700)
        with folder.project.open("rb") as packed:
            unpack(packed, folder.unpacked, most=_MOST_UNPACKED)
        folder.project.unlink()
    except (OSError, ValueError) as error:
        raise ContainerBackendError(f"The project {directory} cannot be read: {error}") from error
    copied = folder.unpacked.resolve() / below
    copied.mkdir(parents=True, exist_ok=True)
    return copied


def _variables(driver: Driver, asked: Asked) -> dict[str, str]:
    """Those of the driver's program, without what other processes would reach a store by."""
    kept = {
        name: value
        for name, value in asked.environment.items()
        if driver.trusted or name not in ACCESS_VARIABLES
    }
    if left := sorted(asked.environment.keys() - kept):
        _logger.warning(
            "%s, which the driver has set, reaches the store of a run: a step gets it only if you trust "
            "the project (%s)",
            ", ".join(left),
            TRUST_OPTION,
        )
    return {**driver.environment, **kept}
