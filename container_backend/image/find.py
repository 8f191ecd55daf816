"""The environment image of a plan: found on the engine, pulled, or built."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from container_backend.engine import labels_in
from container_backend.errors import ImageUnavailable, NotThere
from container_backend.image.base import EnvironmentImage, python_path_of
from container_backend.image.build import build
from container_backend.image.progress import built_line, shown_steps
from container_backend.image.prune import is_noted, note_image, noted_images
from container_backend.image.registry import is_there, pull_image, push_image
from container_backend.labels_and_tags import LABEL_ENVIRONMENT_HASH, LABEL_LOCK_DIGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.engine import Engine
    from container_backend.image.hash import ImagePlan
    from container_backend.machine import FileLock

_logger = logging.getLogger(__package__)


def find_image(engine: Engine, plan: ImagePlan) -> EnvironmentImage | None:
    """The engine's image of a plan, by the image's name or by its labels.

    An image without a note of this user is not taken: any image may have these labels.
    """
    with suppress(NotThere):
        inspected = engine.images.inspect(plan.exact or plan.tag)
        if plan.exact or (_is_of(plan, inspected) and _is_noted(engine, plan, inspected)):
            return _environment_image(plan, inspected)
    if plan.exact:
        return None
    # An engine with many images takes long to look for a label.
    for noted in noted_images(engine.host, plan.hash):
        with suppress(NotThere):
            inspected = engine.images.inspect(noted)
            if _is_of(plan, inspected):
                return _environment_image(plan, inspected)
    return None


def _is_noted(engine: Engine, plan: ImagePlan, image: Mapping[str, Any]) -> bool:
    if is_noted(engine.host, plan.hash, str(image["Id"])):
        return True
    names = ", ".join(image.get("RepoTags") or ()) or image["Id"]
    _logger.debug("%s has the labels of this environment, and is not of this user", names)
    return False


def _noted(engine: Engine, plan: ImagePlan) -> EnvironmentImage:
    """The image of the plan's name, with a note that this user has it from a place of trust."""
    inspected = engine.images.inspect(plan.tag)
    note_image(engine.host, plan.hash, str(inspected["Id"]))
    return _environment_image(plan, inspected)


def _environment_image(plan: ImagePlan, inspected: Mapping[str, Any]) -> EnvironmentImage:
    names = inspected.get("RepoTags") or []
    reference = plan.tag if plan.tag in names or not names else str(names[0])
    return image_of(reference, inspected, plan.hash)


def image_of(
    reference: str, inspected: Mapping[str, Any], environment_hash: str = ""
) -> EnvironmentImage:
    """The image that the engine describes; the hash is empty if unknown."""
    digests = inspected.get("RepoDigests") or []
    return EnvironmentImage(
        reference=reference,
        id=str(inspected["Id"]),
        digest=str(digests[0]).partition("@")[2] if digests else str(inspected["Id"]),
        hash=environment_hash,
        repository_digest=str(digests[0]) if digests else "",
        python_path=python_path_of(inspected),
    )


def _is_of(plan: ImagePlan, inspected: Mapping[str, Any]) -> bool:
    """True for an image with the plan's hash and, if the plan names a lock, with that lock."""
    labels = labels_in(inspected)
    lock = labels.get(LABEL_LOCK_DIGEST)
    return labels.get(LABEL_ENVIRONMENT_HASH) == plan.hash and plan.lock_digest in {"", lock}


def find_or_build(
    engine: Engine,
    plan: ImagePlan,
    lock: FileLock,
    *,
    rebuild: bool = False,
    repository: str | None = None,
    push: bool = False,
    docker_auth: Mapping[str, Any] | None = None,
    before_making: Callable[[], object] = lambda: None,
) -> EnvironmentImage:
    """The image of a plan: the engine's, else the registry's, else built.

    Args:
        lock: The image's lock; shared on return, so that no process removes the image before its
            use.
        rebuild: Build the image even if it exists, without the engine's cache.
        repository: The place of environment images in a registry.
        push: Push an image that was built.
        before_making: Called, once or twice, before what takes time: the engine does not have the image,
            or another process is building it.

    Raises:
        ImageUnavailable: The registry does not have the one image of the plan.
        BuildError: The build failed; the message has the step, its output and a hint.
    """
    if not lock.try_to_share():
        before_making()
        lock.share()
    if not rebuild and (found := find_image(engine, plan)) is not None:
        _logger.info("=== Using environment image %s ===", found.reference)
        return found
    before_making()
    lock.own()
    # Another process may have built it while this one waited.
    if not rebuild and (found := find_image(engine, plan)) is not None:
        _logger.info("=== Using environment image %s ===", found.reference)
    elif plan.exact:
        found = _exact(engine, plan, docker_auth)
    elif not rebuild and repository and (found := _pulled(engine, plan, repository, docker_auth)):
        _logger.info("=== Pulled environment image %s ===", found.reference)
    else:
        _logger.info(
            "=== Building environment image %s on %s (Python %s) ===",
            plan.tag,
            plan.base.reference,
            plan.python,
        )
        started = time.monotonic()
        with shown_steps() as on_progress:
            locked = build(
                engine, plan, docker_auth=docker_auth, no_cache=rebuild, on_progress=on_progress
            )
        found = _noted(engine, plan)
        packages = len(locked.packages) if locked else None
        _logger.info(built_line(found.reference, packages, time.monotonic() - started))
        if push and repository:
            found = _pushed(engine, plan, repository, docker_auth)
    lock.share()
    return found


def _exact(
    engine: Engine, plan: ImagePlan, docker_auth: Mapping[str, Any] | None
) -> EnvironmentImage:
    """Pull the one image of the plan, and give the image the plan's name if that is free."""
    _logger.info("=== Pulling environment image %s ===", plan.exact)
    pull_image(engine, plan.exact, docker_auth, saved=plan.saved_logins)
    if not engine.images.has(plan.tag):
        engine.images.tag(plan.exact, plan.tag)
    return _environment_image(plan, engine.images.inspect(plan.exact))


def _remote(plan: ImagePlan, repository: str) -> str:
    """The name in the registry, with the whole hash: no two environments share a name."""
    return f"{repository}:{plan.hash}"


def _pulled(
    engine: Engine, plan: ImagePlan, repository: str, docker_auth: Mapping[str, Any] | None
) -> EnvironmentImage | None:
    """Pull the image; None if the registry does not have the image, or fails."""
    reference = _remote(plan, repository)
    if not is_there(engine, reference, docker_auth):
        return None
    _logger.info("=== Pulling environment image %s ===", reference)
    try:
        pull_image(engine, reference, docker_auth)
    except ImageUnavailable as error:
        _logger.warning("%s", error.message)
        return None
    inspected = engine.images.inspect(reference)
    if not _is_of(plan, inspected):
        _logger.warning("The image %s has another environment than its name says", reference)
        return None
    engine.images.tag(reference, plan.tag)
    return _noted(engine, plan)


def _pushed(
    engine: Engine, plan: ImagePlan, repository: str, docker_auth: Mapping[str, Any] | None
) -> EnvironmentImage:
    reference = _remote(plan, repository)
    _logger.info("=== Pushing environment image %s ===", reference)
    engine.images.tag(plan.tag, reference)
    push_image(engine, reference, docker_auth)
    return _environment_image(plan, engine.images.inspect(plan.tag))
