"""Environment images: find the one of a hash, or build it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, ImageNotFound, NotFound

from container_backend import registry, remote_image
from container_backend.dockerfile import BaseImage, ImagePlan
from container_backend.engine import said_by, variables_in
from container_backend.errors import ImageUnavailable
from container_backend.image_build import build
from container_backend.names import (
    LABEL_BASE_IMAGE,
    LABEL_ENVIRONMENT_HASH,
    LABEL_LOCK_DIGEST,
)
from container_backend.outside import base_digest_in
from container_backend.progress import built_line, shown_steps
from container_backend.references import repository_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.engine import Engine
    from container_backend.file_lock import FileLock

_logger = logging.getLogger(__name__)

# When the registry of a base is asked.
MISSING, ALWAYS, NEVER = "missing", "always", "never"


@dataclass(frozen=True)
class EnvironmentImage:
    """An environment image on an engine.

    Attributes:
        reference: Its name.
        id: ``sha256:…``; what a container is created from, so that a moved name cannot matter.
        digest: The repository digest where it came from a registry, else the id.
        hash: The environment hash.
        repository_digest: ``NAME@DIGEST`` by which a registry has it; empty where none has.
        python_path: Its PYTHONPATH; empty where it has none.
        entrypoint: What starts its programs; empty where it has none.
    """

    reference: str
    id: str
    digest: str
    hash: str
    repository_digest: str = ""
    python_path: str = ""
    entrypoint: tuple[str, ...] = ()


def resolve_base(
    engine: Engine,
    reference: str,
    docker_auth: Mapping[str, Any] | None = None,
    *,
    pull: str = MISSING,
) -> BaseImage:
    """Find out which image a base's name stands for, without downloading it.

    The one of the digest in the name; the one on the engine if there is one; the registry's.

    Args:
        engine: Where it will be built on.
        reference: The name.
        docker_auth: A login for its registry.
        pull: ``missing``; ``always`` to ask the registry first, ``never`` not to ask it at all.

    Raises:
        ImageUnavailable: Neither has it, or the registry cannot be asked.
    """
    _, _, digest = reference.partition("@")
    if digest:
        return BaseImage(reference, digest, reference)
    if pull != ALWAYS:
        try:
            return _base_of(reference, engine.client.api.inspect_image(reference))
        except ImageNotFound as error:
            if pull == NEVER:
                raise ImageUnavailable(
                    f"The base image '{reference}' is not on the engine, and 'pull' is 'never'."
                ) from error
    try:
        told = engine.client.api.inspect_distribution(
            reference, auth_config=registry.auth_config(engine, reference, docker_auth)
        )
    except APIError as error:
        raise ImageUnavailable(
            f"The base image '{reference}' is not on the engine, and its registry does not "
            f"have it or cannot be asked: {said_by(error)}",
            remedy="Check the name and the login (`docker login`), or set another base_image in "
            "the backend config.",
        ) from error
    digest = str(told["Descriptor"]["digest"])
    return BaseImage(reference, digest, f"{reference}@{digest}")


def _base_of(reference: str, inspected: Mapping[str, Any]) -> BaseImage:
    """Pinned by its repository digest; an image made on this engine has none, just a name."""
    repository = repository_of(reference)
    for entry in inspected.get("RepoDigests") or []:
        name, _, digest = str(entry).partition("@")
        if repository_of(name) == repository:
            return BaseImage(reference, digest, f"{reference}@{digest}")
    return BaseImage(reference, str(inspected["Id"]), reference)


def bases_of_images(engine: Engine, reference: str) -> list[BaseImage]:
    """What a name stood for when the environment images of an engine were built, the newest first.

    An image that came in a file, or from a registry, knows what it was built on; the engine that
    has it need not have its base.
    """
    listed = engine.client.api.images(filters={"label": f"{LABEL_BASE_IMAGE}={reference}"})
    digests = [
        base_digest_in(image["Labels"])
        for image in sorted(listed, key=lambda image: -int(image["Created"]))
    ]
    return [
        BaseImage(reference, digest, f"{reference}@{digest}")
        for digest in dict.fromkeys(filter(None, digests))
    ]


def find_image(engine: Engine, plan: ImagePlan) -> EnvironmentImage | None:
    """The image of a plan's hash on the engine, whatever it is called there."""
    try:
        inspected = engine.client.api.inspect_image(plan.exact or plan.tag)
    except NotFound:
        inspected = None
    if inspected is None or not (plan.exact or _is_of(plan, inspected)):
        labels = [f"{LABEL_ENVIRONMENT_HASH}={plan.hash}"]
        if plan.lock_digest:
            labels.append(f"{LABEL_LOCK_DIGEST}={plan.lock_digest}")
        listed = [] if plan.exact else engine.client.api.images(filters={"label": labels})
        if not listed:
            return None
        inspected = engine.client.api.inspect_image(listed[0]["Id"])
    return _environment_image(plan, inspected)


def _environment_image(plan: ImagePlan, inspected: Mapping[str, Any]) -> EnvironmentImage:
    names = inspected.get("RepoTags") or []
    digests = inspected.get("RepoDigests") or []
    return EnvironmentImage(
        reference=plan.tag if plan.tag in names or not names else str(names[0]),
        id=str(inspected["Id"]),
        digest=str(digests[0]).partition("@")[2] if digests else str(inspected["Id"]),
        hash=plan.hash,
        repository_digest=str(digests[0]) if digests else "",
        python_path=python_path_of(inspected),
        entrypoint=entrypoint_of(inspected),
    )


def entrypoint_of(inspected: Mapping[str, Any]) -> tuple[str, ...]:
    """The entry point of an image, as the engine describes it; empty where it has none."""
    return tuple((inspected.get("Config") or {}).get("Entrypoint") or ())


def python_path_of(inspected: Mapping[str, Any]) -> str:
    """The PYTHONPATH of an image, as the engine describes it; empty where it has none."""
    return variables_in(inspected).get("PYTHONPATH", "")


def _is_of(plan: ImagePlan, inspected: Mapping[str, Any]) -> bool:
    """Whether an image is of a plan's hash, and of its lock where it has one."""
    labels = (inspected.get("Config") or {}).get("Labels") or {}
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
    """The image of a plan: of the engine, else of a registry, else built.

    Args:
        engine: Where.
        plan: Which.
        lock: Of that image; shared when this returns, so that nobody removes the image before it
            is used.
        docker_auth: A login for the base's registry.
        rebuild: Whether it is built although it is there, without any step of before.
        repository: Where it is looked for in a registry.
        push: Whether it is pushed there when it was built.
        before_making: Called where it is not on the engine, before anything else is tried.

    Raises:
        ImageUnavailable: The base cannot be had.
        BuildError: The build failed; the message has the step, its output and a hint.
    """
    lock.share()
    if not rebuild and (found := find_image(engine, plan)) is not None:
        _logger.info("=== Using environment image %s ===", found.reference)
        return found
    before_making()
    lock.own()
    # Somebody else may have built it while this waited.
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
        found = _environment_image(plan, engine.client.api.inspect_image(plan.tag))
        packages = len(locked.packages) if locked else None
        _logger.info(built_line(found.reference, packages, time.monotonic() - started))
        if push and repository:
            found = _pushed(engine, plan, repository, docker_auth)
    lock.share()
    return found


def _exact(
    engine: Engine, plan: ImagePlan, docker_auth: Mapping[str, Any] | None
) -> EnvironmentImage:
    """The one image of its registry; it gets its name here where that is free.

    Raises:
        ImageUnavailable: The registry does not have it any more, refuses, or went away.
    """
    _logger.info("=== Pulling environment image %s ===", plan.exact)
    remote_image.pull(engine, plan.exact, docker_auth)
    try:
        engine.client.api.inspect_image(plan.tag)
    except NotFound:
        engine.client.api.tag(plan.exact, *remote_image.split_reference(plan.tag))
    return _environment_image(plan, engine.client.api.inspect_image(plan.exact))


def _remote(plan: ImagePlan, repository: str) -> str:
    """The name in the registry: the whole hash, so that no two environments ever meet."""
    return f"{repository}:{plan.hash}"


def _pulled(
    engine: Engine, plan: ImagePlan, repository: str, docker_auth: Mapping[str, Any] | None
) -> EnvironmentImage | None:
    """The image out of the registry; None where it is not there, or cannot be had."""
    reference = _remote(plan, repository)
    if not remote_image.is_there(engine, reference, docker_auth):
        return None
    _logger.info("=== Pulling environment image %s ===", reference)
    try:
        remote_image.pull(engine, reference, docker_auth)
    except ImageUnavailable as error:
        _logger.warning("%s", error.message)
        return None
    inspected = engine.client.api.inspect_image(reference)
    if not _is_of(plan, inspected):
        _logger.warning("The image %s is not of the environment that it is named after", reference)
        return None
    engine.client.api.tag(reference, *remote_image.split_reference(plan.tag))
    return _environment_image(plan, engine.client.api.inspect_image(plan.tag))


def _pushed(
    engine: Engine, plan: ImagePlan, repository: str, docker_auth: Mapping[str, Any] | None
) -> EnvironmentImage:
    reference = _remote(plan, repository)
    _logger.info("=== Pushing environment image %s ===", reference)
    engine.client.api.tag(plan.tag, *remote_image.split_reference(reference))
    remote_image.push(engine, reference, docker_auth)
    return _environment_image(plan, engine.client.api.inspect_image(plan.tag))
