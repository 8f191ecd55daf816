"""Facts about an ended container that decide how the run ended; its next start."""

from __future__ import annotations

import io
import tarfile
from contextlib import closing
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.container.create import start_container
from container_backend.container.following import with_event
from container_backend.container.status_and_reason import (
    CAUSE_KILLED,
    LOST,
    SHELL_CODES,
    outcome_of,
)
from container_backend.project import add_mark

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
    # Without an entry point, the shell is reached, unless the image has none.
    is_asked = found.entrypoint or found.state.get("ExitCode") in SHELL_CODES
    if found.entrypoint is not None and is_asked and not _was_reached(engine, found):
        signs = replace(signs, swallowed_by=found.entrypoint)
    return signs


def _was_reached(engine: Engine, found: RunContainer) -> bool:
    """True if the entry point has started the shell in the last start of the container."""
    said = engine.containers.read_file(found.id, labels_and_tags.REACHED)
    return said is not None and said.decode(errors="replace") in {"", _time_of_start(found)}


def _time_of_start(found: RunContainer) -> str:
    return str(found.state.get("StartedAt", ""))


def start_again(engine: Engine, found: RunContainer) -> None:
    """Start a container whose program has ended, as it was last seen.

    That the program was reached holds for the start that was seen, and not for the next one.

    Raises:
        ContainerError: The engine refuses.
        EngineUnavailable: The engine does not answer.
    """
    if found.entrypoint and _was_reached(engine, found):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            add_mark(tar, PurePosixPath(labels_and_tags.REACHED).name, _time_of_start(found))
        packed.seek(0)
        engine.containers.put_archive(found.id, labels_and_tags.MARK_DIRECTORY, packed)
    start_container(engine, found.id)


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
