"""``build -t``: builds the project image, and pushes or saves it."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from container_backend.container import is_platform
from container_backend.engine import connect
from container_backend.environment import DockerEnvironment, EnvironmentSpec, read_environment
from container_backend.errors import BuildError, InvalidConfig
from container_backend.image import (
    check_output,
    check_tag,
    push_image,
    registry_digest,
    save_images,
)
from container_backend.project import check_files, digest_of_code
from container_backend.runs import found_project, held_image, which_image
from container_backend.share.project_image import build_project_image
from container_backend.share.project_labels import ProjectImage
from container_backend.share.revision import revision_of

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.engine import Engine
    from container_backend.image import EnvironmentImage
    from container_backend.privileges import Permissions
    from container_backend.project import Project
    from container_backend.runs import Submission

_logger = logging.getLogger(__package__)


@dataclass(frozen=True)
class Built:
    """A project image that was built.

    Attributes:
        id: ``sha256:…``.
        digest: The digest in the registry; empty if the image was not pushed.
        saved: The file with the project image and its environment image.
    """

    reference: str
    id: str
    digest: str
    environment: EnvironmentImage
    saved: Path | None


def build_and_share(
    submission: Submission,
    tag: str,
    *,
    push: bool = False,
    platform: str | None = None,
    output: Path | None = None,
) -> Built:
    """Build the project image for the environment of an entry point.

    Args:
        tag: The name of the image.
        platform: ``os/architecture``; default: the engine's.
        output: File for the project image and its environment image.

    Raises:
        ContainerBackendError: The project or a name is wrong, a build fails, the registry refuses,
            or the file cannot be written. The image is complete or missing.
    """
    check_tag(tag)
    if platform is not None and not is_platform(platform):
        raise InvalidConfig(
            f"'{platform}' is not a platform.", remedy="Write one like linux/amd64 or linux/arm64."
        )
    if output is not None:
        check_output(output)
    with found_project(submission) as (source, declared, entry_point):
        permissions = submission.permissions(source)
        environment = read_environment(declared, entry_point, submission.config, permissions)
        project = _with_runnable(declared, environment, submission, permissions)
        check_files(project.directory)
        revision = revision_of(source.repository, project.directory)
        code_digest = digest_of_code(project.directory)
        with closing(connect()) as engine:
            if platform == engine.facts.platform:
                platform = None
            image = which_image(engine, environment, submission, project, permissions, platform)
            with held_image(
                engine, image, project, submission.config, submission.docker_auth
            ) as base:
                _check_architecture(engine, base, platform)
                built = build_project_image(
                    engine,
                    ProjectImage(tag, project, environment, base, revision, code_digest, platform),
                )
                if push:
                    _logger.info("=== Pushing project image %s ===", tag)
                    push_image(engine, tag, submission.docker_auth)
                if output is not None:
                    save_images(engine, [base.reference, tag], output)
            inspected = engine.images.inspect(built)
    return Built(tag, built, registry_digest(tag, inspected), base, output)


def _with_runnable(
    project: Project,
    environment: EnvironmentSpec | DockerEnvironment,
    submission: Submission,
    permissions: Permissions,
) -> Project:
    """The project with only the entry points of an environment; a warning names the others."""
    kept = {}
    for name, entry_point in project.entry_points.items():
        own = read_environment(project, entry_point, submission.config, permissions)
        if _declared(own) == _declared(environment):
            kept[name] = entry_point
        else:
            _logger.warning(
                "%s: the entry point '%s' has another environment, and is not in this image; build "
                "an image for it with -e %s",
                project.where, name, name,
            )  # fmt: skip
    return replace(project, entry_points=kept)


def _declared(
    environment: EnvironmentSpec | DockerEnvironment,
) -> EnvironmentSpec | DockerEnvironment:
    """An environment without the fields that only messages need."""
    if isinstance(environment, DockerEnvironment):
        return replace(environment, where="")
    return replace(environment, python_source="")


def _check_architecture(engine: Engine, base: EnvironmentImage, platform: str | None) -> None:
    """Refuse a base image of another platform, which some engines use without an error."""
    if platform is None:
        return
    inspected = engine.images.inspect(base.id)
    found = f"{inspected.get('Os')}/{inspected.get('Architecture')}"
    if found != "/".join(platform.split("/")[:2]):
        raise BuildError(
            f"The image '{base.reference}' is for {found}, not for {platform}.",
            remedy="The engine has the base image only for its own platform: remove that image from "
            "the engine, or set base_image to the digest of an image for the other platform.",
        )
