"""The image of an environment: planned before anything is made, then held on the engine."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from container_backend.config import base_of
from container_backend.environment import (
    THIS_INTERPRETER,
    DockerEnvironment,
    EnvironmentSpec,
    own_python,
    read_environment,
)
from container_backend.errors import ImageUnavailable
from container_backend.image import (
    ALWAYS,
    BaseImage,
    BaseWanted,
    ImagePlan,
    ReadyImage,
    add_code,
    bases_of_images,
    find_image,
    find_or_build,
    find_template,
    have_image,
    image_lock,
    plan_image,
    record_use,
    resolve_base,
    scope_of_builds,
)
from container_backend.privileges import Right, check_template
from container_backend.runs.ending import retried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from container_backend.config import BackendConfig
    from container_backend.engine import Engine
    from container_backend.image import EnvironmentImage
    from container_backend.privileges import Permissions
    from container_backend.project import CodeArchive, EntryPoint, Project
    from container_backend.runs.submission import Submission

_logger = logging.getLogger(__package__)


def which_environment(
    submission: Submission, project: Project, entry_point: EntryPoint, permissions: Permissions
) -> EnvironmentSpec | DockerEnvironment:
    """What the project declares; files of an image that is built from a record need not be there.

    Raises:
        InvalidEnvironment: A file is missing or invalid.
        InvalidProject: The project may not ask for variables of the user.
    """
    image = submission.repetition.image if submission.repetition else None
    if isinstance(image, ImagePlan):
        return EnvironmentSpec(image.python, "the record")
    return read_environment(project, entry_point, submission.config, permissions)


def which_image(
    connected: Engine,
    environment: EnvironmentSpec | DockerEnvironment,
    submission: Submission,
    project: Project,
    permissions: Permissions,
    platform: str | None = None,
) -> ImagePlan | ReadyImage:
    """Plan the image of an environment, for a platform or the engine's. Nothing is made.

    Raises:
        ImageUnavailable: The base image was not found.
        InvalidConfig: A template or a build secret cannot be read.
    """
    repeated = submission.repetition
    if repeated is not None and repeated.image is not None:
        return repeated.image
    if isinstance(environment, DockerEnvironment):
        return ReadyImage(
            environment.image,
            with_code=submission.build_image,
            saved_logins=permissions.allow(Right.LOGINS),
        )
    return plan_environment(connected, environment, submission, project, permissions, platform)


def plan_environment(
    connected: Engine,
    environment: EnvironmentSpec,
    submission: Submission,
    project: Project,
    permissions: Permissions,
    platform: str | None = None,
) -> ImagePlan:
    """As :func:`which_image`, for an image that is built."""
    if environment.python_source == THIS_INTERPRETER:
        _logger.info(
            "=== No Python version is declared: taking %s of this interpreter ===",
            environment.python,
        )
    config = submission.config
    template = find_template(project.directory, config.template)
    if template is not None and not config.template:
        check_template(template.file, permissions)
    login_hosts = environment.installer_indexes.hosts()
    if permissions.allow(Right.LOGINS):
        login_hosts |= environment.indexes.hosts()
    secrets = {name: source.read(name) for name, source in config.build_secrets.items()}

    def plan(base: BaseImage) -> ImagePlan:
        wanted = platform or connected.facts.platform
        planned = plan_image(environment, base, wanted, template=template, secrets=secrets)
        trusted = permissions.allow(Right.BUILD_LOGINS)
        return replace(
            planned,
            login_hosts=frozenset(login_hosts),
            withholds_logins=planned.withholds_logins and not (trusted or config.template),
            trusts_packages=trusted,
            build_scope=scope_of_builds(planned, _whose(submission, project, permissions)),
        )

    key = environment.template.base
    # A base for uv's Python needs a Python, any, to fetch uv with.
    python = own_python() if environment.fetches_python else environment.python
    reference = base_of(config, key, python)
    wanted = BaseWanted(reference, key, environment.python_choice)
    try:
        return plan(resolve_base(connected, wanted, submission.docker_auth, pull=config.pull))
    except ImageUnavailable:
        # Images that were loaded from a file came without their base images.
        if config.pull == ALWAYS or config.rebuild:
            raise
        for base in bases_of_images(connected, reference):
            if find_image(connected, planned := plan(base)) is not None:
                _logger.info(
                    "=== The base image %s was not found; the environment image exists ===",
                    reference,
                )
                return planned
        raise


def _whose(submission: Submission, project: Project, permissions: Permissions) -> str:
    """Whose programs build packages: another version, or a trusted one, shares no wheels."""
    if permissions.is_own:
        return f"{project.directory} {permissions.trusted}"
    local = Path(submission.uri.partition("#")[0])
    place = str(local.resolve()) if local.exists() else submission.uri
    return f"{place} {submission.version} {permissions.trusted}"


@contextmanager
def held_image(
    engine: Engine,
    image: ImagePlan | ReadyImage,
    project: Project,
    config: BackendConfig,
    docker_auth: Mapping[str, Any] | None,
    *,
    code: CodeArchive | None = None,
    before_making: Callable[[], object] = lambda: None,
) -> Iterator[EnvironmentImage]:
    """The image on the engine: found, built or pulled. No process removes it in the context.

    Args:
        code: The project's, for an image that gets it.
        before_making: Called before what takes time: a build, a pull, waiting for another process's.
    """
    name = project.name or project.directory.name
    if isinstance(image, ReadyImage):
        ready = image.found or retried(
            lambda: have_image(engine, image, docker_auth, before_making),
            config.retries,
            ImageUnavailable,
        )
        if image.with_code and code is not None:
            before_making()
            ready = add_code(engine, ready, name, code)
        yield ready
        return
    with image_lock(engine.host, image.hash) as lock:
        found = find_or_build(
            engine,
            image,
            lock,
            docker_auth=docker_auth,
            rebuild=config.rebuild,
            repository=config.image_repository,
            push=config.push,
            before_making=before_making,
        )
        record_use(engine.host, image.hash, name)
        yield found
