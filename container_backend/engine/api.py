"""The readings of a container, and the errors that requests to an engine raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import requests.exceptions
import urllib3.exceptions
from docker.errors import DockerException

from container_backend.errors import EngineUnavailable

if TYPE_CHECKING:
    from container_backend.engine.connection import Engine


def read_statistics(engine: Engine, container_id: str) -> dict[str, Any]:
    """One reading, at once.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerStats

    Raises:
        ENGINE_ERRORS: There is no such container, or no engine.
    """
    api: Any = engine.client.api
    answer = api._get(
        api._url("/containers/{0}/stats", container_id),
        params={"stream": "false", "one-shot": "true"},
    )
    return dict(api._result(answer, json=True))


# What may be raised when the engine goes away in the middle of a stream.
STREAM_ERRORS: Final = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)
# What the SDK and what is below it raise when an engine is not there, and when it says nothing.
ENGINE_ERRORS: Final = (DockerException, EngineUnavailable, *STREAM_ERRORS)
SILENCE: Final = (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)
