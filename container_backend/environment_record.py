"""What a run was executed in, among its artifacts: how it was built, and what was installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from container_backend.code import DOCKERFILE, DOCKERFILE_IN_CONTAINER
from container_backend.container import read_file
from container_backend.lock import LOCK, LOCK_IN_IMAGE

if TYPE_CHECKING:
    from container_backend.engine import Engine
    from container_backend.record import RunRecord

FOLDER: Final = "environment"
_MOST_LOCKS: Final = 64
_LOCKS: dict[str, str | None] = {}


def log_environment(
    engine: Engine,
    record: RunRecord,
    container: str,
    dockerfile: str | None = None,
    image_id: str = "",
) -> None:
    """Log the lock in a container's image, and the Dockerfile that was put beside the code.

    Args:
        engine: Where the container is.
        record: Whose artifacts.
        container: Not removed yet; by id.
        dockerfile: Its text, where it is known already.
        image_id: Of the container, where it is known: its lock is read once by a process.

    Raises:
        Exception: Of the artifact store's own kind, or of the engine's.
    """
    if dockerfile is None:
        dockerfile = _read(engine, container, DOCKERFILE_IN_CONTAINER)
    if image_id not in _LOCKS:
        if len(_LOCKS) >= _MOST_LOCKS:
            _LOCKS.clear()
        _LOCKS[image_id] = _read(engine, container, LOCK_IN_IMAGE)
    lock = _LOCKS[image_id] if image_id else _LOCKS.pop(image_id)
    for name, text in ((DOCKERFILE, dockerfile), (LOCK, lock)):
        if text is not None:
            record.client.log_text(record.run_id, text, f"{FOLDER}/{name}")


def _read(engine: Engine, container: str, path: str) -> str | None:
    content = read_file(engine, container, path)
    return None if content is None else content.decode()
