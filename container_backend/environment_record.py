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


def log_environment(engine: Engine, record: RunRecord, container_id: str) -> None:
    """Log the lock in a container's image, and the Dockerfile that was put beside the code.

    Args:
        engine: Where the container is.
        record: Whose artifacts.
        container_id: Not removed yet.

    Raises:
        Exception: Of the artifact store's own kind, or of the engine's.
    """
    for path, name in ((DOCKERFILE_IN_CONTAINER, DOCKERFILE), (LOCK_IN_IMAGE, LOCK)):
        content = read_file(engine, container_id, path)
        if content is not None:
            record.client.log_text(record.run_id, content.decode(), f"{FOLDER}/{name}")
