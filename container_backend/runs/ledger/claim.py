"""A run that exists goes on in one process at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from container_backend import labels_and_tags
from container_backend.container import KEPT, mark_of
from container_backend.errors import InvalidConfig
from container_backend.machine import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import Engine
    from container_backend.runs.ledger.ledger import Ledger


@contextmanager
def claiming(ledger: Ledger, engine: Engine, run_id: str | None) -> Iterator[None]:
    """Hold other processes of this user off a run until its note is written.

    Args:
        run_id: Of a run that exists; None for a new one.

    Raises:
        InvalidConfig: The run has a container on this engine, or a process of this user goes on with it.
    """
    if run_id is None:
        yield
        return
    with FileLock(ledger.folder / "claims.lock", "another process that goes on with a run") as lock:
        lock.own()
        check_free(ledger, engine, run_id)
        yield


def check_free(ledger: Ledger, engine: Engine, run_id: str | None) -> None:
    """Raises as :func:`claiming`."""
    if run_id is None:
        return
    if found := engine.containers.find(f"{labels_and_tags.LABEL_RUN_ID}={run_id}"):
        raise _has_container(run_id, str(found[0]["Names"][0]).removeprefix("/"))
    notes = (entry.read() for entry in ledger.entries())
    if any(note is not None and run_id in {note.run_id, note.resumes_run} for note in notes):
        raise InvalidConfig(
            f"Another process goes on with the run '{run_id}', or has not written its end yet.",
            remedy=f"Wait for it: `container-backend wait {run_id[:12]}`.",
        )


def _has_container(run_id: str, name: str) -> InvalidConfig:
    if mark_of(name) == KEPT:
        return InvalidConfig(
            f"The run '{run_id}' cannot go on: its container '{name}' was kept (key 'keep').",
            remedy=f"Remove the container: `docker rm {name}`.",
        )
    return InvalidConfig(
        f"The run '{run_id}' is under way: its container is '{name}'.",
        remedy=f"Wait for it (`container-backend wait {run_id[:12]}`), or cancel it "
        f"(`container-backend cancel {run_id[:12]}`).",
    )
