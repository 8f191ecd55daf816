"""Files in images, by way of a container that is never started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from container_backend.container import remove
from container_backend.names import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.engine import Engine


def find_file(engine: Engine, image: str, paths: Sequence[str]) -> str | None:
    """The first of some paths that is there in an image; None for none.

    Raises:
        DockerException: The image is gone, or the engine.
    """
    made = engine.client.api.create_container(image, ["true"], labels=NO_LABELS)
    try:
        return next(
            (path for path in paths if _is_there(engine.client.api, str(made["Id"]), path)), None
        )
    finally:
        remove(engine, made["Id"])


def _is_there(api: Any, container_id: str, path: str) -> bool:  # noqa: ANN401 the SDK's
    """``HEAD /containers/ID/archive``, which the SDK does not know."""
    address = api._url("/containers/{0}/archive", container_id)
    return bool(api.head(address, params={"path": path}, timeout=api.timeout).ok)
