"""The base image of an environment, and the description of an image that was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine import variables_in
from container_backend.errors import ImageUnavailable, NotThere, Refused
from container_backend.image.hash import BaseImage
from container_backend.image.registry import login_for, repository_of
from container_backend.labels_and_tags import LABEL_BASE_IMAGE
from container_backend.machine import base_digest_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import Engine

# When the registry of a base is asked.
MISSING: Final = "missing"
ALWAYS: Final = "always"
NEVER: Final = "never"


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
            return _base_of(reference, engine.images.inspect(reference))
        except NotThere as error:
            if pull == NEVER:
                raise ImageUnavailable(
                    f"The base image '{reference}' is not on the engine, and 'pull' is 'never'."
                ) from error
    try:
        digest = engine.images.registry_digest(reference, login_for(reference, docker_auth))
    except Refused as error:
        raise ImageUnavailable(
            f"The base image '{reference}' is not on the engine, and its registry does not "
            f"have it or cannot be asked: {error.message}",
            remedy="Check the name and the login (`docker login`), or set another base_image in "
            "the backend config.",
        ) from error
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
    listed = engine.images.find(f"{LABEL_BASE_IMAGE}={reference}")
    digests = [
        base_digest_in(image["Labels"])
        for image in sorted(listed, key=lambda image: -int(image["Created"]))
    ]
    return [
        BaseImage(reference, digest, f"{reference}@{digest}")
        for digest in dict.fromkeys(filter(None, digests))
    ]


def python_path_of(inspected: Mapping[str, Any]) -> str:
    """The PYTHONPATH of an image, as the engine describes it; empty where it has none."""
    return variables_in(inspected).get("PYTHONPATH", "")
