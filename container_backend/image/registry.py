"""Images in registries: asked for, pulled, pushed; their names and logins."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from container_backend.config import is_image_reference
from container_backend.engine import Login, is_same_registry, registry_of, saved_logins
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
# The engine's words for a layer in transfer.
_MOVING: Final = frozenset({"Downloading", "Pushing"})


def is_there(
    engine: Engine, reference: str, docker_auth: Mapping[str, Any] | None = None
) -> bool | None:
    """True if a registry has an image; None, and a warning, if the registry does not tell."""
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
    engine: Engine,
    reference: str,
    docker_auth: Mapping[str, Any] | None = None,
    *,
    saved: bool = True,
) -> None:
    """Pull an image, and show the progress.

    Args:
        saved: The user's saved logins may be used, besides ``docker_auth``.

    Raises:
        ImageUnavailable: The registry does not have the image, refuses, or went away.
    """
    login = login_for(reference, docker_auth, saved=saved)
    _transfer(engine.images.pull, reference, login, PULLING, "pulled")


def push_image(
    engine: Engine, reference: str, docker_auth: Mapping[str, Any] | None = None
) -> None:
    """Push an image, and show the progress; its name appears in the registry at the very end.

    Raises:
        ImageUnavailable: The registry refuses, or went away.
    """
    login = login_for(reference, docker_auth)
    _transfer(engine.images.push, reference, login, PUSHING, "pushed")


def _transfer(
    call: Callable[[str, Login | None], Iterable[Mapping[str, Any]]],
    reference: str,
    login: Login | None,
    step: str,
    done: str,
) -> None:
    started = time.monotonic()
    with shown_steps() as show:
        show(StepEvent(step, "started"))
        try:
            problem = _follow(
                call(reference, login), reference, lambda event: show(event._replace(step=step))
            )
        except EngineError as error:
            problem = error.message
        seconds = time.monotonic() - started
        show(StepEvent(step, "completed" if problem is None else "failed", seconds, problem))
    if problem is not None:
        raise ImageUnavailable(
            f"The image '{reference}' cannot be {done}: {problem}",
            remedy="Check the name and the login (`docker login`).",
        )


def _follow(
    answers: Iterable[Mapping[str, Any]], reference: str, show: Callable[[StepEvent], None]
) -> str | None:
    """Show the engine's answers, each about a layer; returns the error among them."""
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


# The scheme of a project's address that is an image.
IMAGE_SCHEME: Final = "docker://"
_OURS: Final = IMAGE_REPOSITORY.partition("/")[0] + "/"
# Without the tag: https://github.com/distribution/reference
_MOST_CHARACTERS: Final = 255


def check_tag(text: str) -> str:
    """Return a valid name for a new image; raise InvalidConfig for any other name."""
    if not is_image_reference(text) or "@" in text or len(repository_of(text)) > _MOST_CHARACTERS:
        raise InvalidConfig(
            f"'{text}' is not a name that an image can have.",
            remedy="One looks like 'registry.example:5000/team/salary:1.0', in small letters.",
        )
    if text.startswith(_OURS):
        raise InvalidConfig(
            f"'{text}': names that begin with '{_OURS}' are those of environment images.",
            remedy="Choose another name.",
        )
    return text


def is_image_address(uri: str) -> bool:
    return uri.startswith(IMAGE_SCHEME)


def reference_of(uri: str) -> str:
    """The image reference in ``docker://…``; raises InvalidProject if the reference is invalid."""
    reference = uri.removeprefix(IMAGE_SCHEME)
    if not is_image_reference(reference):
        raise InvalidProject(
            f"'{uri}' is not the address of an image.",
            remedy=f"One looks like '{IMAGE_SCHEME}registry.example/team/salary:1.0'.",
        )
    return reference


def repository_of(reference: str) -> str:
    """The name without tag, digest, and the prefixes of Docker Hub."""
    name = reference.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    name = head + slash + tail.partition(":")[0]
    return name.removeprefix("docker.io/").removeprefix("library/")


def tag_of(reference: str) -> str:
    """The tag of an image reference; empty for none."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[2]


def registry_digest(reference: str, inspected: Mapping[str, Any]) -> str:
    """The digest of an image in its own repository, else in any other; empty for none."""
    digests = [str(entry).partition("@")[2] for entry in inspected.get("RepoDigests") or []]
    return own_digest(reference, inspected) or next(iter(digests), "")


def own_digest(reference: str, inspected: Mapping[str, Any]) -> str:
    """The digest of an image in its own repository; empty for none."""
    repository = repository_of(reference)
    for entry in inspected.get("RepoDigests") or []:
        name, _, digest = str(entry).partition("@")
        if repository_of(name) == repository:
            return digest
    return ""


def logins_of(
    docker_auth: Mapping[str, Any] | None = None, *, saved: bool = True
) -> Callable[[str], Login | None]:
    """A function from a registry's host to the login.

    Args:
        docker_auth: The argument of ``mlflow.projects.run``: ``username``, ``password`` and
            ``registry``, as for ``docker login``. Other registries use the saved logins.
        saved: False for no saved logins.
    """
    known = saved_logins() if saved else lambda _host: None
    if not docker_auth or not docker_auth.get("username"):
        return known
    given = Login(str(docker_auth["username"]), str(docker_auth.get("password") or ""))
    registry = str(docker_auth.get("registry") or "")
    registry = registry.removeprefix("https://").removeprefix("http://").partition("/")[0]

    # Without a registry, `docker login` is for Docker Hub.
    registry = registry or "docker.io"
    return lambda host: given if is_same_registry(host, registry) else known(host)


def login_for(
    reference: str, docker_auth: Mapping[str, Any] | None, *, saved: bool = True
) -> Login | None:
    return logins_of(docker_auth, saved=saved)(registry_of(reference))
