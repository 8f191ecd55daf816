"""Marks of a run: cancelled, timed out, or container kept.

Every process that may finish the run must see a mark at any time, also on other machines. So a mark
can be changed while the program runs, the engine lists the mark, and its change is an event that
wakes the processes that watch. Labels of a container cannot be changed, and a file in a container is
not listed and makes no event; so the mark is part of the container's name. (A service of a cluster
cannot be renamed, but its labels can be changed.) Only this module knows where the mark is: other
modules read ``RunContainer.ending`` and call these functions.
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
    """The name of a run's container, known before the engine assigns an id."""
    return f"{_NAME}{run_id}.{mark}" if mark else f"{_NAME}{run_id}"


def mark_of(name: str) -> str:
    """The mark in a container's name, with or without the engine's slash; empty for none."""
    stem, _, mark = name.removeprefix("/").partition(".")
    return mark if stem.startswith(_NAME) else ""


def is_name_of(run_id: str, name: str) -> bool:
    """True for the name of a run's container, with any mark: an engine has each name once."""
    return name.partition(".")[0] == container_name(run_id)


def mark_run(engine: Engine, container_id: str, run_id: str, mark: str) -> bool:
    """Mark a run; False if its container is missing."""
    return engine.containers.rename(container_id, container_name(run_id, mark))


def stop_run(
    engine: Engine, container_id: str, run_id: str, mark: str, grace: float | None = None
) -> None:
    """Mark a run, stop its program and wait until the program has ended.

    The mark comes first, so that the process that finishes the run knows why the program ended.

    Args:
        mark: ``CANCELLED`` or ``TIMED_OUT``.
        grace: Seconds before SIGKILL; by default those of the container.
    """
    mark_run(engine, container_id, run_id, mark)
    engine.containers.stop(container_id, grace)
