"""Asks the engine for the facts about an ended container that decide how the run ended."""

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
    """The signs of a container, with the engine's facts about its end.

    Args:
        found: None for a container that is gone.
        signs: The signs so far.
    """
    if found is None or not found.has_ended or found.started_at is None:
        return signs
    if found.state.get("ExitCode") == LOST and signs.exit_code is None:
        signs = _with_exit(engine, found, found.started_at, signs)
    if found.entrypoint and engine.containers.read_file(found.id, labels_and_tags.REACHED) is None:
        signs = replace(signs, swallowed_by=found.entrypoint)
    return signs


def _with_exit(engine: Engine, found: RunContainer, since: float, signs: Signs) -> Signs:
    """The signs with the ``die`` event of the program.

    The engine sends such an event for each program whose end it sees, but not for a container that
    it lost, which has an exit code all the same.
    """
    label = f"{labels_and_tags.LABEL_RUN_ID}={found.run_id}"
    told, _ = engine.missed_events(label, f"{since:.6f}")
    for event in told:
        if event.container_id == found.id and event.action == "die":
            signs = with_event(signs, event)
    return signs
