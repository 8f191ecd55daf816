"""Marks of a run: that it is cancelled, that its time is over, that its container is kept.

A mark must reach every process that may finish the run, also on other machines, at any time. Its
carrier can be changed while the program runs, is part of what the engine lists, and changing it
is an event that wakes all who watch. The labels of a container cannot be changed, and a file in it
is neither listed nor an event; so a container carries its mark in its name. A service of a cluster
cannot be renamed, but its labels can be changed. Only this module knows the carrier: others read
``RunContainer.ending`` and call these verbs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from container_backend.engine import Engine

CANCELLED: Final = "cancelled"
TIMED_OUT: Final = "timeout"
KEPT: Final = "kept"
_NAME: Final = "mlflow-run-"


def container_name(run_id: str, mark: str = "") -> str:
    """The name of a run's container, known before the engine has answered with an id."""
    return f"{_NAME}{run_id}.{mark}" if mark else f"{_NAME}{run_id}"


def mark_of(name: str) -> str:
    """The mark of a container, from its name with or without the engine's slash; empty for none."""
    stem, _, mark = name.removeprefix("/").partition(".")
    return mark if stem.startswith(_NAME) else ""


def mark_run(engine: Engine, container_id: str, run_id: str, mark: str) -> bool:
    """Mark a run. False if its container is missing.

    Raises:
        EngineError: The engine does not answer.
    """
    return engine.containers.rename(container_id, container_name(run_id, mark))


def stop_run(
    engine: Engine, container_id: str, run_id: str, mark: str, grace: float | None = None
) -> None:
    """Mark a run and stop its program; returns when the program has ended.

    The mark comes first: the process that finishes the run then knows why the program ended.

    Args:
        engine: Where the container is.
        container_id: Its container.
        run_id: The run.
        mark: ``CANCELLED`` or ``TIMED_OUT``.
        grace: Seconds until SIGKILL; those that the container was made with by default.

    Raises:
        EngineError: The engine does not answer.
    """
    mark_run(engine, container_id, run_id, mark)
    engine.containers.stop(container_id, grace)
