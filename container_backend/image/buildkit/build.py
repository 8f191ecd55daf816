"""Building an image with BuildKit over the Engine API; no docker command is needed.

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
from container_backend.image.buildkit.errors import BuildFailed, SessionRefused
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
# Shorter pieces of a secret would hide too much of a message to be worth hiding.
_MASKED_LENGTH: Final = 8


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    Attributes:
        context: Path → content, with a ``Dockerfile``. Files on disk are read when they are sent.
        tags: Names for the image.
        labels: For the image.
        build_args: ``ARG`` values; those of proxies stay out of the image and its history.
        secrets: Id → content; in no layer, history or cache key.
        credentials: Knows the login for a registry's host, or None.
        target: The stage to build; the last one by default.
        platform: ``os/architecture``, or the engine's own.
        no_cache: Whether steps are run again that were run before.
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
    """Build an image.

    Args:
        request: What to build.
        on_progress: Told of each step. What it raises ends the build.

    Returns:
        The image's id, ``sha256:…``.

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
    except SessionRefused as error:
        raise BuildFailed(f"The engine does not open a build session: {error}") from error
    except (EngineError, OSError) as error:
        raise BuildFailed(f"The engine went away during the build: {error}") from error


def _build(
    engine: Engine,
    request: BuildRequest,
    session_id: str,
    build_id: str,
    on_progress: Callable[[StepEvent], None] | None,
) -> str:
    parameters = _parameters(request, session_id, build_id)
    try:
        with engine.images.build(packed(request.context), **parameters) as answers:
            return _read(answers, request, on_progress)
    except Refused as error:
        raise BuildFailed(_mask(error.message, request)) from error


def _parameters(request: BuildRequest, session_id: str, build_id: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "version": _BUILDKIT,
        "session": session_id,
        "buildid": build_id,
        "t": list(request.tags),
        "labels": json.dumps(dict(request.labels)),
        "buildargs": json.dumps(dict(request.build_args)),
        "rm": "1",
    }
    if request.target:
        parameters["target"] = request.target
    if request.platform:
        parameters["platform"] = request.platform
    if request.no_cache:
        parameters["nocache"] = "1"
    return parameters


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
    """Lines of JSON as they come; one may be spread over several chunks, and end with none."""
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
    """The text without any longer word of a secret."""
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
