"""Images in registries: whether they are there, pulled, pushed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from docker.errors import APIError, DockerException

from container_backend import registry
from container_backend.errors import ImageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from container_backend.engine import Engine

_logger = logging.getLogger(__name__)

_NOT_FOUND: Final = 404


def is_there(
    engine: Engine, reference: str, docker_auth: Mapping[str, Any] | None = None
) -> bool | None:
    """Whether a registry has an image; None where it does not tell, which is said.

    ``GET /distribution/{name}/json``:
    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Distribution
    """
    try:
        engine.client.api.inspect_distribution(
            reference, auth_config=registry.auth_config(engine, reference, docker_auth)
        )
    except APIError as error:
        if error.status_code == _NOT_FOUND:
            return False
        problem = str(error.explanation or error).strip()
    except (DockerException, OSError) as error:
        problem = str(error)
    else:
        return True
    _logger.warning("The registry does not tell whether it has %s: %s", reference, problem)
    return None


def pull(engine: Engine, reference: str, docker_auth: Mapping[str, Any] | None = None) -> None:
    """Pull an image.

    Raises:
        ImageUnavailable: The registry does not have it, refuses, or went away.
    """
    name, tag = split_reference(reference)
    problem = _problem(
        engine.streams.api.pull,
        name,
        tag=tag,
        auth_config=registry.auth_config(engine, reference, docker_auth),
    )
    if problem is not None:
        raise ImageUnavailable(
            f"The image '{reference}' cannot be pulled: {problem}",
            remedy="Check the name and the login (`docker login`).",
        )


def push(engine: Engine, reference: str, docker_auth: Mapping[str, Any] | None = None) -> None:
    """Push an image. A registry shows it under its name only when all of it is there.

    Raises:
        ImageUnavailable: The registry refuses, or went away.
    """
    name, tag = split_reference(reference)
    problem = _problem(
        engine.streams.api.push,
        name,
        tag=tag,
        auth_config=registry.auth_config(engine, reference, docker_auth),
    )
    if problem is not None:
        raise ImageUnavailable(
            f"The image '{reference}' cannot be pushed: {problem}",
            remedy="Check the name and the login (`docker login`).",
        )


def _problem(transfer: Any, *arguments: str, **options: Any) -> str | None:  # noqa: ANN401 the SDK's
    """What went wrong; None for nothing. The SDK's own ``images.pull`` swallows errors."""
    try:
        answers: Iterable[dict[str, Any]] = transfer(
            *arguments, stream=True, decode=True, **options
        )
        return next((str(answer["error"]) for answer in answers if "error" in answer), None)
    except (DockerException, OSError) as error:
        return str(error.explanation if isinstance(error, APIError) else error)


def split_reference(reference: str) -> tuple[str, str]:
    """The name, and the tag or digest."""
    name, at, digest = reference.partition("@")
    if at:
        return name, digest
    head, slash, tail = name.rpartition("/")
    tail, _, tag = tail.partition(":")
    return head + slash + tail, tag or "latest"
