"""Images that a project names itself: found on the engine or pulled, with code on request."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from container_backend.errors import ImageUnavailable, NotThere
from container_backend.image.base import ALWAYS, MISSING, NEVER, EnvironmentImage
from container_backend.image.code_layer import build_on
from container_backend.image.find import image_of
from container_backend.image.registry import pull_image
from container_backend.labels_and_tags import HASH_DIGITS_IN_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.engine import Engine
    from container_backend.project import CodeArchive

_logger = logging.getLogger(__package__)
_REPOSITORY: Final = "container-backend/project-{name}"


@dataclass(frozen=True)
class ReadyImage:
    """An image that is used as it is.

    Attributes:
        with_code: The run gets an image with the project's code on this image
            (``mlflow run --build-image``).
        found: The image, if the engine is known to have it.
        saved_logins: The user's saved logins may be used to pull the image.
        entrypoint: Replaces the image's own entry point; None to keep it.
    """

    reference: str
    with_code: bool = False
    saved_logins: bool = True
    found: EnvironmentImage | None = None
    entrypoint: tuple[str, ...] | None = None

    @property
    def hash(self) -> str:
        """The environment hash; empty if unknown."""
        return self.found.hash if self.found else ""


def have(
    engine: Engine,
    reference: str,
    docker_auth: Mapping[str, Any] | None = None,
    *,
    saved: bool = True,
    pull: str = MISSING,
    before_pull: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """The engine's description of an image, which is pulled if ``pull`` says so.

    Args:
        docker_auth: A login for the registry.
        saved: The user's saved logins may be used, too.
        pull: ``missing``, ``always`` or ``never``.

    Raises:
        ImageUnavailable: Neither the engine nor the registry has the image.
    """
    if pull != ALWAYS:
        try:
            return engine.images.inspect(reference)
        except NotThere as error:
            if pull == NEVER:
                raise ImageUnavailable(
                    f"The image '{reference}' is not on the engine, and 'pull' is 'never'."
                ) from error
    _logger.info("=== Pulling image %s ===", reference)
    before_pull()
    pull_image(engine, reference, docker_auth, saved=saved)
    return engine.images.inspect(reference)


def have_image(
    engine: Engine,
    image: ReadyImage,
    docker_auth: Mapping[str, Any] | None = None,
    before_pull: Callable[[], object] = lambda: None,
) -> EnvironmentImage:
    """The image on the engine, pulled if it is missing; see :func:`have`."""
    saved = image.saved_logins
    try:
        found = have(engine, image.reference, docker_auth, saved=saved, before_pull=before_pull)
    except ImageUnavailable as error:
        if saved:
            raise
        raise ImageUnavailable(
            error.message,
            remedy="The project is of another person, so this is without your logins. To hand out the "
            f"image, pull it yourself: docker pull {image.reference}",
        ) from error
    return image_of(image.reference, found)


def add_code(
    engine: Engine, image: EnvironmentImage, name: str, code: CodeArchive
) -> EnvironmentImage:
    """An image with a project's code on top of another image, for MLflow's ``--build-image``.

    Args:
        name: The project's.

    Raises:
        BuildError: The image could not be built.
    """
    digest = hashlib.sha256(f"{image.id}\0{code.code.digest}".encode()).hexdigest()
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "code"
    tag = f"{_REPOSITORY.format(name=slug)}:{digest[:HASH_DIGITS_IN_TAG]}"
    made = build_on(engine, image.id, code, tag, {}, "image with the code")
    _logger.info("=== Image %s has the project's code on %s ===", tag, image.reference)
    return image_of(tag, engine.images.inspect(made))
