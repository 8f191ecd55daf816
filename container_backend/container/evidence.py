"""Asks the engine for the facts about an ended container that decide how the run ended."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.container.following import with_event
from container_backend.container.status_and_reason import CAUSE_KILLED, LOST, outcome_of

if TYPE_CHECKING:
    from container_backend.container.described import RunContainer
    from container_backend.container.status_and_reason import Signs
    from container_backend.engine import Engine

# On a busy machine, an engine said 0.4 s after the end of a program that memory was lacking.
_LATE_SECONDS: Final = 2.0


def gathered(engine: Engine, found: RunContainer | None, signs: Signs) -> Signs:
    """The signs of a container, with the engine's facts about its end.

    Args:
        found: None for a container that is gone.
        signs: The signs so far.
    """
    if found is None or not found.has_ended or found.started_at is None:
        return signs
    if found.state.get("ExitCode") == LOST and signs.exit_code is None:
        signs = _with_event(engine, found, "die", signs)
    if _may_lack_memory(found, signs):
        signs = _with_event(engine, found, "oom", signs, late=_LATE_SECONDS)
    if found.entrypoint and engine.containers.read_file(found.id, labels_and_tags.REACHED) is None:
        signs = replace(signs, swallowed_by=found.entrypoint)
    return signs


def _may_lack_memory(found: RunContainer, signs: Signs) -> bool:
    """True for a program that was killed, as far as is known, by no client of the engine."""
    outcome = outcome_of(found.state, ending=found.ending, signs=signs)
    return outcome.cause == CAUSE_KILLED and not signs.signal


def _with_event(
    engine: Engine, found: RunContainer, action: str, signs: Signs, late: float = 0.0
) -> Signs:
    """The signs with an event of the program, if the engine sent one.

    The engine sends ``die`` for each program whose end it sees, but not for a container that it lost,
    which has an exit code all the same.

    Args:
        late: For so many seconds after the end, the event may still come.
    """
    label = f"{labels_and_tags.LABEL_RUN_ID}={found.run_id}"
    until = max(engine.now(), (found.finished_at or 0.0) + late)
    with closing(engine.events(label, f"{found.started_at:.6f}", f"{until:.6f}")) as stream:
        for event in stream:
            if event.container_id == found.id and event.action == action:
                return with_event(signs, event)
    return signs
