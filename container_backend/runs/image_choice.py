"""The image that an environment needs: chosen before anything is made, then held on the engine."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from container_backend.environment import THIS_INTERPRETER, DockerEnvironment, EnvironmentSpec
from container_backend.errors import ImageUnavailable
from container_backend.image import (
    ALWAYS,
    BaseImage,
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
)
from container_backend.runs.ending import retried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from container_backend.config import BackendConfig
    from container_backend.engine import Engine
    from container_backend.image import EnvironmentImage
    from container_backend.project import CodeArchive, Project
    from container_backend.runs.submission import Submission

_logger = logging.getLogger(__package__)


def which_image(
    connected: Engine,
    environment: EnvironmentSpec | DockerEnvironment,
    submission: Submission,
    project: Project,
    platform: str | None = None,
) -> ImagePlan | ReadyImage:
    """The image of an environment, for the engine's platform or another.

    Nothing is made or downloaded.

    Raises:
        ImageUnavailable: The image to build on is nowhere to be had.
        InvalidConfig: A template or a secret of the user's cannot be read.
    """
    repeated = submission.repetition
    if repeated is not None and repeated.image is not None:
        return repeated.image
    if isinstance(environment, DockerEnvironment):
        return ReadyImage(environment.image, with_code=submission.build_image)
    return plan_environment(connected, environment, submission, project, platform)


def plan_environment(
    connected: Engine,
    environment: EnvironmentSpec,
    submission: Submission,
    project: Project,
    platform: str | None = None,
) -> ImagePlan:
    """The image of an environment that is built. Raises as :func:`which_image`."""
    if environment.python_source == THIS_INTERPRETER:
        _logger.info(
            "=== No Python version is declared: taking %s, as of this interpreter ===",
            environment.python,
        )
    config = submission.config
    template = find_template(project.directory, config.template)
    secrets = {name: source.read(name) for name, source in config.build_secrets.items()}

    def plan(base: BaseImage) -> ImagePlan:
        wanted = platform or connected.facts.platform
        return plan_image(environment, base, wanted, template=template, secrets=secrets)

    named: str = getattr(config, environment.template.base)
    reference = named.replace("{version}", environment.python)
    try:
        return plan(resolve_base(connected, reference, submission.docker_auth, pull=config.pull))
    except ImageUnavailable:
        # Where images came in a file, what they were built on did not.
        if config.pull == ALWAYS or config.rebuild:
            raise
        for base in bases_of_images(connected, reference):
            if find_image(connected, planned := plan(base)) is not None:
                _logger.info(
                    "=== The base image %s cannot be had, and is not needed: "
                    "its environment is there ===",
                    reference,
                )
                return planned
        raise


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
    """The image on the engine: found, built or pulled. No process removes it while the context lasts.

    Args:
        config: Says whether and where the image is built, pulled and pushed.
        docker_auth: A login for a registry.
        code: The project's, for an image that is to have it.
        before_making: Called where it is not there, before that takes its time.
    """
    name = project.name or project.directory.name
    if isinstance(image, ReadyImage):
        ready = image.found or retried(
            lambda: have_image(engine, image.reference, docker_auth, before_making),
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
