"""Images in registries: whether they are there, pulled, pushed."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from container_backend.config import is_image_reference
from container_backend.engine import HUB_NAMES, Login, registry_of, saved_logins
from container_backend.errors import (
    EngineError,
    ImageUnavailable,
    InvalidConfig,
    InvalidProject,
    NotThere,
)
from container_backend.image.buildkit import StepEvent
from container_backend.image.progress import PULLING, PUSHING, shown_steps
from container_backend.labels_and_tags import IMAGE_REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from container_backend.engine import Engine

_logger = logging.getLogger(__package__)
# What the engine says of a layer of which bytes move.
_MOVING: Final = frozenset({"Downloading", "Pushing"})


def is_there(
    engine: Engine, reference: str, docker_auth: Mapping[str, Any] | None = None
) -> bool | None:
    """Whether a registry has an image; None where it does not tell, which is logged."""
    try:
        engine.images.registry_digest(reference, login_for(reference, docker_auth))
    except NotThere:
        return False
    except EngineError as error:
        _logger.warning(
            "The registry does not tell whether it has %s: %s", reference, error.message
        )
        return None
    return True


def pull_image(
    engine: Engine, reference: str, docker_auth: Mapping[str, Any] | None = None
) -> None:
    """Pull an image, and show how far it is.

    Raises:
        ImageUnavailable: The registry does not have it, refuses, or went away.
    """
    problem = _transfer(engine.images.pull, reference, docker_auth, PULLING)
    if problem is not None:
        raise ImageUnavailable(
            f"The image '{reference}' cannot be pulled: {problem}",
            remedy="Check the name and the login (`docker login`).",
        )


def push_image(
    engine: Engine, reference: str, docker_auth: Mapping[str, Any] | None = None
) -> None:
    """Push an image, and show how far it is.

    A registry shows it under its name only when all of it is there.

    Raises:
        ImageUnavailable: The registry refuses, or went away.
    """
    problem = _transfer(engine.images.push, reference, docker_auth, PUSHING)
    if problem is not None:
        raise ImageUnavailable(
            f"The image '{reference}' cannot be pushed: {problem}",
            remedy="Check the name and the login (`docker login`).",
        )


def _transfer(
    call: Callable[[str, Login | None], Iterable[Mapping[str, Any]]],
    reference: str,
    docker_auth: Mapping[str, Any] | None,
    step: str,
) -> str | None:
    """What went wrong; None for nothing."""
    login = login_for(reference, docker_auth)
    started = time.monotonic()
    with shown_steps() as show:
        show(StepEvent(step, "started"))
        try:
            problem = _follow(
                call(reference, login), reference, lambda event: show(event._replace(step=step))
            )
        except EngineError as error:
            problem = error.message
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


# What an image is called where a project's address is asked for.
IMAGE_SCHEME: Final = "docker://"
_OURS: Final = IMAGE_REPOSITORY.partition("/")[0] + "/"
# https://github.com/distribution/reference: without the tag.
_MOST_CHARACTERS: Final = 255


def check_tag(text: str) -> str:
    """The name that an image is to have.

    Raises:
        InvalidConfig: It is not a name, or one that environments have.
    """
    if not is_image_reference(text) or "@" in text or len(repository_of(text)) > _MOST_CHARACTERS:
        raise InvalidConfig(
            f"'{text}' is not a name that an image can have.",
            remedy="One looks like 'registry.example:5000/team/salary:1.0', in small letters.",
        )
    if text.startswith(_OURS):
        raise InvalidConfig(
            f"'{text}': names that begin with '{_OURS}' are those of environment images.",
            remedy="Choose another one.",
        )
    return text


def is_image_address(uri: str) -> bool:
    """Whether a project's address is that of an image."""
    return uri.startswith(IMAGE_SCHEME)


def reference_of(uri: str) -> str:
    """The image that ``docker://…`` names.

    Raises:
        InvalidProject: It is not the name of an image.
    """
    reference = uri[len(IMAGE_SCHEME) :]
    if not is_image_reference(reference):
        raise InvalidProject(
            f"'{uri}' is not the address of an image.",
            remedy=f"One looks like '{IMAGE_SCHEME}registry.example/team/salary:1.0'.",
        )
    return reference


def repository_of(reference: str) -> str:
    """The name without tag and digest, and without what stands for Docker Hub."""
    name = reference.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    name = head + slash + tail.partition(":")[0]
    return name.removeprefix("docker.io/").removeprefix("library/")


def tag_of(reference: str) -> str:
    """The tag; empty for none."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[2]


def registry_digest(reference: str, inspected: Mapping[str, Any]) -> str:
    """The digest of an image in a registry, that of its own repository first; empty for none.

    Args:
        reference: What it is called.
        inspected: What the engine says of it.
    """
    found = [str(entry).partition("@") for entry in inspected.get("RepoDigests") or []]
    for repository, _, digest in found:
        if repository_of(repository) == repository_of(reference):
            return digest
    return found[0][2] if found else ""


def logins_of(docker_auth: Mapping[str, Any] | None = None) -> Callable[[str], Login | None]:
    """A function that knows the login of a registry's host, or None.

    Args:
        docker_auth: What ``mlflow.projects.run(docker_auth=…)`` was given: ``username``,
            ``password`` and ``registry``, as for ``docker login``. The saved logins have the rest.
    """
    saved = saved_logins()
    if not docker_auth or not docker_auth.get("username"):
        return saved
    given = Login(str(docker_auth["username"]), str(docker_auth.get("password") or ""))
    registry = str(docker_auth.get("registry") or "")
    registry = registry.removeprefix("https://").removeprefix("http://").partition("/")[0]

    def lookup(host: str) -> Login | None:
        is_hub = host in HUB_NAMES and registry in HUB_NAMES | {""}
        return given if registry == host or is_hub else saved(host)

    return lookup


def login_for(reference: str, docker_auth: Mapping[str, Any] | None) -> Login | None:
    """The login for an image's registry."""
    return logins_of(docker_auth)(registry_of(reference))
