"""What a run was executed in, among its artifacts: how it was built, and what was installed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from container_backend.container import read_file
from container_backend.lock import LOCK, LOCK_IN_IMAGE

if TYPE_CHECKING:
    from container_backend.engine import Engine
    from container_backend.record import RunRecord

_logger = logging.getLogger(__name__)

FOLDER: Final = "environment"
DOCKERFILE: Final = "Dockerfile"


def log_environment(
    engine: Engine, record: RunRecord, container_id: str, dockerfile: str | None
) -> None:
    """Log the lock in a container's image, and the Dockerfile of that image.

    A store that does not take them is no reason to fail a run: it is said, and that is all.

    Args:
        engine: Where the container is.
        record: Whose artifacts.
        container_id: Not removed yet.
        dockerfile: Its text; None for an image that was not built here.
    """
    try:
        if dockerfile is not None:
            record.client.log_text(record.run_id, dockerfile, f"{FOLDER}/{DOCKERFILE}")
        lock = read_file(engine, container_id, LOCK_IN_IMAGE)
        if lock is not None:
            record.client.log_text(record.run_id, lock.decode(), f"{FOLDER}/{LOCK}")
    except Exception as error:  # noqa: BLE001 each artifact store raises its own kind
        _logger.warning(
            "The environment of run (ID '%s') is not among its artifacts: %s", record.run_id, error
        )
