"""Images in registries: whether they are there, pulled, pushed."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from docker.errors import APIError, DockerException

from container_backend import registry
from container_backend.build_steps import PULLING, PUSHING
from container_backend.buildkit import StepEvent
from container_backend.engine import said_by
from container_backend.errors import ImageUnavailable
from container_backend.progress import shown_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from container_backend.engine import Engine

_logger = logging.getLogger(__name__)

_NOT_FOUND: Final = 404
# What the engine says of a layer of which bytes move.
_MOVING: Final = frozenset({"Downloading", "Pushing"})


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
        problem = said_by(error)
    except (DockerException, OSError) as error:
        problem = str(error)
    else:
        return True
    _logger.warning("The registry does not tell whether it has %s: %s", reference, problem)
    return None


def pull(engine: Engine, reference: str, docker_auth: Mapping[str, Any] | None = None) -> None:
    """Pull an image, and show how far it is.

    Raises:
        ImageUnavailable: The registry does not have it, refuses, or went away.
    """
    problem = _transfer(engine, engine.streams.api.pull, reference, docker_auth, PULLING)
    if problem is not None:
        raise ImageUnavailable(
            f"The image '{reference}' cannot be pulled: {problem}",
            remedy="Check the name and the login (`docker login`).",
        )


def push(engine: Engine, reference: str, docker_auth: Mapping[str, Any] | None = None) -> None:
    """Push an image, and show how far it is.

    A registry shows it under its name only when all of it is there.

    Raises:
        ImageUnavailable: The registry refuses, or went away.
    """
    problem = _transfer(engine, engine.streams.api.push, reference, docker_auth, PUSHING)
    if problem is not None:
        raise ImageUnavailable(
            f"The image '{reference}' cannot be pushed: {problem}",
            remedy="Check the name and the login (`docker login`).",
        )


def _transfer(
    engine: Engine,
    call: Any,  # noqa: ANN401 the SDK's
    reference: str,
    docker_auth: Mapping[str, Any] | None,
    step: str,
) -> str | None:
    """What went wrong; None for nothing. The SDK's own ``images.pull`` swallows errors."""
    name, tag = split_reference(reference)
    auth = registry.auth_config(engine, reference, docker_auth)
    started = time.monotonic()
    with shown_steps() as show:
        show(StepEvent(step, "started"))
        try:
            answers = call(name, tag=tag, auth_config=auth, stream=True, decode=True)
            problem = _follow(answers, reference, lambda event: show(event._replace(step=step)))
        except (DockerException, OSError) as error:
            problem = said_by(error)
        end = "completed" if problem is None else "failed"
        show(StepEvent(step, end, time.monotonic() - started, problem))
    return problem


def _follow(
    answers: Iterable[Mapping[str, Any]], reference: str, show: Callable[[StepEvent], None]
) -> str | None:
    """The error among the engine's answers. Each is of a layer: how far it is, or that it waits."""
    layers: dict[str, tuple[int, int]] = {}
    waits = False
    for answer in answers:
        if "error" in answer:
            return str(answer["error"])
        status, detail = str(answer.get("status", "")), answer.get("progressDetail") or {}
        if status.startswith("Retrying in ") and not waits:
            waits = True
            _logger.warning(
                "The connection to the registry of %s was lost; the engine tries again for "
                "about a minute",
                reference,
            )
        if status in _MOVING and detail.get("total"):
            layers[str(answer.get("id"))] = (int(detail["current"]), int(detail["total"]))
            current, total = (sum(numbers) for numbers in zip(*layers.values(), strict=True))
            show(StepEvent("", "transfer", current=min(current, total), total=total))
    return None


def split_reference(reference: str) -> tuple[str, str]:
    """The name, and the tag or digest."""
    name, at, digest = reference.partition("@")
    if at:
        return name, digest
    head, slash, tail = name.rpartition("/")
    tail, _, tag = tail.partition(":")
    return head + slash + tail, tag or "latest"
