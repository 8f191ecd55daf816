"""An environment without a run: builds its image, writes its lock."""

from __future__ import annotations

import logging
import shutil
import uuid
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.engine import connect
from container_backend.environment import (
    ENVIRONMENT_KEYS,
    LOCK,
    DockerEnvironment,
    Lock,
    for_project,
    read_environment,
)
from container_backend.errors import (
    ContainerBackendError,
    InvalidConfig,
    InvalidEnvironment,
    InvalidProject,
)
from container_backend.image import is_image_address, resolve, shown_steps
from container_backend.project import MAIN, fetch, read_project, sub_projects
from container_backend.runs.image_choice import held_image, plan_environment, which_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import Engine
    from container_backend.image import EnvironmentImage, ImagePlan, ReadyImage
    from container_backend.privileges import Permissions
    from container_backend.project import EntryPoint, Project, Source
    from container_backend.runs.submission import Submission

_logger = logging.getLogger(__package__)
STANDARD_OUTPUT: Final = Path("-")


@dataclass(frozen=True)
class WrittenLock:
    """A lock and its file."""

    path: Path
    lock: Lock


def build_environment(submission: Submission) -> EnvironmentImage:
    """The environment image of an entry point, found or built.

    Raises:
        ContainerBackendError: The project or its environment is wrong, or the build fails.
    """
    with found_project(submission) as (source, project, entry_point):
        permissions = submission.permissions(source)
        with closing(connect(submission.host)) as engine:
            environment = read_environment(project, entry_point, submission.config, permissions)
            image = which_image(engine, environment, submission, project, permissions)
            with held_image(
                engine, image, project, submission.config, submission.docker_auth
            ) as found:
                return found


def build_steps(submission: Submission) -> dict[str, EnvironmentImage]:
    """The environment images of the projects in the folders of a project, found or built, by folder.

    Raises:
        ContainerBackendError: The project is wrong, or one of these images cannot be built; the others
            are built all the same.
    """
    found: dict[str, EnvironmentImage] = {}
    failed: list[ContainerBackendError] = []
    with (
        found_project(submission) as (source, project, _),
        closing(connect(submission.host)) as engine,
    ):
        permissions = submission.permissions(source)
        for folder, image in planned_steps(engine, submission, project, permissions).items():
            try:
                if isinstance(image, ContainerBackendError):
                    raise image
                config = submission.config.of_step()
                with held_image(engine, image, project, config, submission.docker_auth) as held:
                    found[folder] = held
            except ContainerBackendError as error:
                failed.append(error)
    if failed:
        raise failed[0]
    return found


def planned_steps(
    engine: Engine, submission: Submission, project: Project, permissions: Permissions
) -> dict[str, ImagePlan | ReadyImage | ContainerBackendError]:
    """What the steps of a project would run in, by folder; an error for a project that is wrong."""
    found: dict[str, ImagePlan | ReadyImage | ContainerBackendError] = {}
    own = replace(submission, config=submission.config.of_step())
    for folder in sub_projects(project.directory):
        try:
            step = read_project(project.directory / folder, ENVIRONMENT_KEYS)
            entry_point = step.entry_point(MAIN) if MAIN in step.entry_points else None
            environment = read_environment(step, entry_point, own.config, permissions)
            found[folder] = which_image(engine, environment, own, step, permissions)
        except ContainerBackendError as error:
            found[folder] = error
    return found


def lock_environment(submission: Submission, output: Path | None = None) -> WrittenLock:
    """Resolve what a project declares, ignoring its lock, and write a new lock.

    Args:
        output: By default the file that ``lock`` names in the backend config, or
            ``requirements.lock`` in the project; :data:`STANDARD_OUTPUT` for no file.

    Raises:
        ContainerBackendError: The project is wrong or has nothing to lock, the requirements
            cannot be met, or the file cannot be written. No file is changed then.
    """
    with found_project(submission) as (source, project, entry_point):
        path = _choose_output(submission, source, project, output)
        permissions = submission.permissions(source)
        environment = read_environment(
            project, entry_point, submission.config, permissions, locked=False
        )
        if isinstance(environment, DockerEnvironment):
            raise InvalidEnvironment(f"{environment.where}: a ready image has nothing to lock.")
        with closing(connect()) as engine:
            image = plan_environment(engine, environment, submission, project, permissions)
            _logger.info(
                "=== Resolving the requirements for Python %s on %s ===",
                image.python,
                image.platform,
            )
            with shown_steps() as on_progress:
                lock = resolve(
                    engine,
                    image,
                    docker_auth=submission.docker_auth,
                    anew=True,
                    on_progress=on_progress,
                )
        if lock is None:
            raise InvalidEnvironment(
                f"{project.directory}: no Python packages are declared; there is nothing to lock."
            )
        lock = for_project(lock)
        if path != STANDARD_OUTPUT:
            _write(path, lock.text)
        return WrittenLock(path, lock)


@contextmanager
def found_project(
    submission: Submission,
) -> Iterator[tuple[Source, Project, EntryPoint | None]]:
    """The source, the project, and the entry point; None if the project has no "main".

    Raises:
        InvalidProject: The project or the entry point is missing, or the project is an image.
    """
    if is_image_address(submission.uri):
        raise InvalidProject(
            f"'{submission.uri}' is an image already; the files of the project are needed.",
            remedy="Give a folder, a git address or a zip file.",
        )
    with ExitStack() as needed:
        source = fetch(submission.uri, submission.version, needed, trust=submission.is_trusted)
        project = read_project(source.directory, ENVIRONMENT_KEYS)
        # An environment can be built without a "main".
        declared = submission.entry_point in project.entry_points or submission.entry_point != MAIN
        yield source, project, project.entry_point(submission.entry_point) if declared else None


def _choose_output(
    submission: Submission, source: Source, project: Project, output: Path | None
) -> Path:
    if output is None and source.is_fetched:
        raise InvalidConfig(
            f"{submission.uri} was fetched, and its lock would be gone with it.",
            remedy="Name a file for the lock: --output requirements.lock",
        )
    path = output or project.directory / (submission.config.lock or LOCK)
    if path.suffix == ".toml":
        raise InvalidConfig(
            f"'{path}': a lock is written as a requirements file with hashes, not as TOML.",
            remedy=f"Choose another name, e.g. {LOCK}.",
        )
    return path


def _write(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    whole = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        whole.write_text(text, encoding="utf-8")
        if path.exists():
            shutil.copymode(path, whole)
        whole.replace(path)
    except OSError as error:
        with suppress(OSError):
            whole.unlink()
        raise InvalidConfig(f"The lock '{path}' cannot be written: {error.strerror}.") from error
