"""Images in registries: whether they are there, pulled, pushed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from docker.errors import APIError, DockerException

from container_backend import registry
from container_backend.errors import ImageUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    problem = _problem(engine, engine.streams.api.pull, reference, docker_auth)
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
    problem = _problem(engine, engine.streams.api.push, reference, docker_auth)
    if problem is not None:
        raise ImageUnavailable(
            f"The image '{reference}' cannot be pushed: {problem}",
            remedy="Check the name and the login (`docker login`).",
        )


def _problem(
    engine: Engine,
    transfer: Any,  # noqa: ANN401 the SDK's
    reference: str,
    docker_auth: Mapping[str, Any] | None,
) -> str | None:
    """What went wrong; None for nothing. The SDK's own ``images.pull`` swallows errors."""
    name, tag = split_reference(reference)
    auth = registry.auth_config(engine, reference, docker_auth)
    waits = False
    try:
        for answer in transfer(name, tag=tag, auth_config=auth, stream=True, decode=True):
            if "error" in answer:
                return str(answer["error"])
            retries = str(answer.get("status", "")).startswith("Retrying in ")
            if retries and not waits:
                _logger.warning(
                    "The connection to the registry of %s was lost; the engine tries again for "
                    "about a minute",
                    reference,
                )
            waits = waits or retries
    except (DockerException, OSError) as error:
        return str(error.explanation if isinstance(error, APIError) else error)
    return None


def split_reference(reference: str) -> tuple[str, str]:
    """The name, and the tag or digest."""
    name, at, digest = reference.partition("@")
    if at:
        return name, digest
    head, slash, tail = name.rpartition("/")
    tail, _, tag = tail.partition(":")
    return head + slash + tail, tag or "latest"
