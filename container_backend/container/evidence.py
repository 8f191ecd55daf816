"""What only the engine can say of a container that has ended, asked where it decides how a run ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from container_backend import labels_and_tags
from container_backend.container.following import with_event
from container_backend.container.status_and_reason import LOST

if TYPE_CHECKING:
    from container_backend.container.described import RunContainer
    from container_backend.container.status_and_reason import Signs
    from container_backend.engine import Engine


def gathered(engine: Engine, found: RunContainer | None, signs: Signs) -> Signs:
    """What is known of a container, with what the engine still has to say of its end.

    Args:
        engine: Where the container is.
        found: The container; None for one that is gone.
        signs: What was known before.

    Raises:
        EngineError: The engine does not answer, or refuses.
    """
    if found is None or not found.has_ended or found.started_at is None:
        return signs
    if found.state.get("ExitCode") == LOST and signs.exit_code is None:
        signs = _with_exit(engine, found, found.started_at, signs)
    if found.entrypoint and engine.containers.read_file(found.id, labels_and_tags.REACHED) is None:
        signs = replace(signs, swallowed_by=found.entrypoint)
    return signs


def _with_exit(engine: Engine, found: RunContainer, since: float, signs: Signs) -> Signs:
    """An engine tells of each end that it sees, and remembers it as long as it is up.

    A container that it lost has an exit code all the same.
    """
    label = f"{labels_and_tags.LABEL_RUN_ID}={found.run_id}"
    told, _ = engine.missed_events(label, f"{since:.6f}")
    for event in told:
        if event.container_id == found.id and event.action == "die":
            signs = with_event(signs, event)
    return signs
