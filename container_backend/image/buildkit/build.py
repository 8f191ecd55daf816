"""Builds with BuildKit over the Engine API, without the docker command.

``POST /build?version=2``:
https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageBuild
"""

from __future__ import annotations

import base64
import json
import logging
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from container_backend.errors import EngineError, Refused
from container_backend.image.buildkit.context import packed
from container_backend.image.buildkit.errors import BuildFailed
from container_backend.image.buildkit.session import BuildSession
from container_backend.image.buildkit.trace import BuildLog, StepEvent
from container_backend.machine import FileChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from container_backend.engine import Engine, Login
    from container_backend.machine import Content

_logger = logging.getLogger(__package__)
_BUILDKIT: Final = "2"
_TRACE: Final = "moby.buildkit.trace"
_IMAGE_ID: Final = "moby.image.id"
# To mask shorter words of a secret would make messages unreadable.
_MASKED_LENGTH: Final = 8


@dataclass(frozen=True)
class BuildRequest:
    """The input of a build.

    Attributes:
        context: Path → content, with a ``Dockerfile``; files on disk are read late.
        build_args: ``ARG`` values; those of proxies stay out of the image and its history.
        secrets: Id → content; in no layer, history or cache key.
        credentials: Returns the login for a registry's host.
        target: The stage to build; None for the last one.
        platform: ``os/architecture``; None for the engine's own.
    """

    context: Mapping[str, Content] = field(repr=False)
    tags: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    build_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    credentials: Callable[[str], Login | None] | None = field(default=None, repr=False)
    target: str | None = None
    platform: str | None = None
    no_cache: bool = False


def build_image(
    engine: Engine,
    request: BuildRequest,
    *,
    on_progress: Callable[[StepEvent], None] | None = None,
) -> str:
    """Build an image; returns its id, ``sha256:…``.

    Args:
        on_progress: Called for each event; an exception from it cancels the build.

    Raises:
        BuildFailed: The engine refused, a step failed, or the engine went away.
    """
    build_id = str(uuid.uuid4())
    try:
        with BuildSession(
            engine.host, secrets=request.secrets, credentials=request.credentials
        ) as session:
            try:
                return _build(engine, request, session.id, build_id, on_progress)
            except BuildFailed:
                raise
            except BaseException:
                _cancel(engine, build_id)
                raise
    except FileChanged as error:
        raise BuildFailed(f"The files for the build could not be sent: {error}") from error
    except (EngineError, OSError) as error:
        raise BuildFailed(f"The engine went away during the build: {error}") from error


def _build(
    engine: Engine,
    request: BuildRequest,
    session_id: str,
    build_id: str,
    on_progress: Callable[[StepEvent], None] | None,
) -> str:
    parameters = {
        "version": _BUILDKIT,
        "session": session_id,
        "buildid": build_id,
        "t": list(request.tags),
        "labels": json.dumps(dict(request.labels)),
        "buildargs": json.dumps(dict(request.build_args)),
        "rm": "1",
        # A parameter of None is not sent.
        "target": request.target or None,
        "platform": request.platform or None,
        "nocache": "1" if request.no_cache else None,
    }
    try:
        with engine.images.build(packed(request.context), **parameters) as answers:
            return _read(answers, request, on_progress)
    except Refused as error:
        raise BuildFailed(_mask(error.message, request)) from error


def _read(
    answers: Iterator[bytes],
    request: BuildRequest,
    on_progress: Callable[[StepEvent], None] | None,
) -> str:
    log = BuildLog()
    image_id = None
    for line in _lines(answers):
        if line.get("id") == _TRACE:
            for event in log.add(base64.b64decode(line["aux"])):
                if on_progress is not None:
                    on_progress(_masked(event, request))
        elif line.get("id") == _IMAGE_ID:
            image_id = str(line["aux"]["ID"])
        elif "error" in line or "errorDetail" in line:
            raise _failure(line, log, request)
    if image_id is None:
        raise BuildFailed("The engine ended the build without an image.")
    return image_id


def _lines(answers: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Decode lines of JSON; a line may span several chunks, and the last has no line end."""
    rest = b""
    for chunk in answers:
        *complete, rest = (rest + chunk).split(b"\n")
        yield from (json.loads(line) for line in complete if line.strip())
    if rest.strip():
        yield json.loads(rest)


def _failure(line: Mapping[str, Any], log: BuildLog, request: BuildRequest) -> BuildFailed:
    detail = line.get("errorDetail") or {}
    message = str(detail.get("message") or line.get("error") or "the build failed")
    step = log.failed_step(message)
    return BuildFailed(
        _mask(message, request),
        step=step.name if step else None,
        output=tuple(_mask(text, request) for text in step.output()) if step else (),
    )


def _masked(event: StepEvent, request: BuildRequest) -> StepEvent:
    return event._replace(text=_mask(event.text, request)) if event.text else event


def _mask(text: str, request: BuildRequest) -> str:
    """Replace the longer words of all secrets."""
    for secret in request.secrets.values():
        for word in secret.decode("utf-8", "ignore").split():
            if len(word) >= _MASKED_LENGTH and word in text:
                text = text.replace(word, "***")
    return text


def _cancel(engine: Engine, build_id: str) -> None:
    try:
        engine.images.cancel_build(build_id)
    except EngineError as error:
        _logger.debug("The build %s could not be cancelled: %s", build_id, error)
