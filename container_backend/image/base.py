"""The base image of an environment, and the description of a found environment image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine import variables_in
from container_backend.errors import ImageUnavailable, NotThere, Refused
from container_backend.image.hash import BaseImage
from container_backend.image.registry import login_for, own_digest
from container_backend.labels_and_tags import LABEL_BASE_IMAGE
from container_backend.machine import base_digest_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import Engine
    from container_backend.environment import PythonChoice

# When to ask an image's registry: the values of `pull` in the backend config.
MISSING: Final = "missing"
ALWAYS: Final = "always"
NEVER: Final = "never"


@dataclass(frozen=True)
class EnvironmentImage:
    """An environment image on an engine.

    Attributes:
        id: ``sha256:…``; containers are created from the id, because a name may move.
        digest: The repository digest of an image from a registry, else the id.
        hash: The environment hash; empty for an image that was not built from one.
        repository_digest: ``NAME@DIGEST`` in a registry; empty for an image in none.
    """

    reference: str
    id: str
    digest: str
    hash: str
    repository_digest: str = ""
    python_path: str = ""


@dataclass(frozen=True)
class BaseWanted:
    """A base image to look for, and for messages: why this one.

    Attributes:
        key: The key of the backend config that names it.
    """

    reference: str
    key: str = "base_image"
    choice: PythonChoice | None = None


def resolve_base(
    engine: Engine,
    wanted: BaseWanted,
    docker_auth: Mapping[str, Any] | None = None,
    *,
    pull: str = MISSING,
) -> BaseImage:
    """Find the digest of a base image, without a download.

    The digest in the name counts, else the engine's image, else the registry's.

    Args:
        pull: ``missing``; ``always`` to ask the registry first; ``never`` to ask no registry.

    Raises:
        ImageUnavailable: Neither has the image, or the registry does not answer.
    """
    reference = wanted.reference
    _, _, digest = reference.partition("@")
    if digest:
        return BaseImage(reference, digest, reference)
    if pull != ALWAYS:
        try:
            return _base_of(reference, engine.images.inspect(reference))
        except NotThere as error:
            if pull == NEVER:
                raise _unavailable(wanted, "'pull' is 'never'.") from error
    try:
        digest = engine.images.registry_digest(reference, login_for(reference, docker_auth))
    except Refused as error:
        why = f"its registry does not have it or cannot be asked: {error.message.rstrip('.')}."
        raise _unavailable(wanted, why) from error
    return BaseImage(reference, digest, f"{reference}@{digest}")


def _unavailable(wanted: BaseWanted, why: str) -> ImageUnavailable:
    """The error, with who has asked for that Python, and the settings that help."""
    reference, key, choice = wanted.reference, wanted.key, wanted.choice
    message = f"The base image '{reference}' is not on the engine, and {why}"
    remedy = "Check the name and the login (`docker login`), or "
    fetched = ', or have uv fetch that Python: "python_source": "uv"' * (key == "base_image")
    if choice is None or choice.version not in reference:
        return ImageUnavailable(message, remedy=f"{remedy}set another {key} in the backend config.")
    minor = ".".join(choice.version.split(".")[:2])
    if minor != choice.version:
        remedy += (
            f'set "python_match": "minor" in the backend config if any Python {minor} will do, or '
        )
    return ImageUnavailable(
        f"{message} {choice.reason}",
        remedy=f'{remedy}name an image for it there: "{key}": {{"{choice.version}": "IMAGE"}}{fetched}.',
    )


def _base_of(reference: str, inspected: Mapping[str, Any]) -> BaseImage:
    """Pin an image by its repository digest; an image that was made on this engine has none."""
    if digest := own_digest(reference, inspected):
        return BaseImage(reference, digest, f"{reference}@{digest}")
    return BaseImage(reference, str(inspected["Id"]), reference)


def bases_of_images(engine: Engine, reference: str) -> list[BaseImage]:
    """The bases of that name in the labels of an engine's environment images, newest first.

    An image from a file or a registry has these labels, even if the engine does not have the base.
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
    """The PYTHONPATH of an image; empty for none."""
    return variables_in(inspected).get("PYTHONPATH", "")
