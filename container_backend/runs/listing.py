"""Lists the runs that have a container on an engine."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from container_backend import labels_and_tags
from container_backend.container import KEPT, inspect_container, usage_of
from container_backend.errors import EngineError
from container_backend.machine import submission_in

if TYPE_CHECKING:
    from container_backend.container import RunContainer, Usage
    from container_backend.engine import Engine

_THREADS: Final = 16
# The CPU usage is the difference of two readings.
_BETWEEN_SECONDS: Final = 0.5


@dataclass(frozen=True)
class ListedRun:
    """A run that has a container.

    Attributes:
        experiment: Its name; its id if the name is not known.
        state: The container's: ``running``, ``paused``, ``exited``, …; ``stopping`` while it is
            being stopped; ``kept`` after the run was finished.
        exit_code: None while the program runs.
        started_at: Seconds since 1970; None if the program was never started.
        seconds: Duration so far.
        cpu_percent: 100 is one core; None if the program does not run.
        memory_bytes: None if the program does not run.
    """

    run_id: str
    experiment: str
    project: str
    entry_point: str
    image: str
    state: str
    exit_code: int | None
    started_at: float | None
    seconds: float | None
    cpu_percent: float | None
    memory_bytes: int | None
    container_id: str
    tracking_uri: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def list_runs(engine: Engine, *, ended: bool) -> list[ListedRun]:
    """The runs on an engine, the youngest first; only those that run, unless ``ended``."""
    listed = engine.containers.find(labels_and_tags.LABEL_RUN_ID)
    found = [each for each in listed if submission_in(each["Labels"])]
    images = {str(each["Id"]): str(each["Image"]) for each in found}
    chosen = [str(each["Id"]) for each in found if ended or each["State"] in {"running", "paused"}]
    with ThreadPoolExecutor(_THREADS) as pool:
        containers = [
            each for each in pool.map(lambda id_: inspect_container(engine, id_), chosen) if each
        ]
        usages = list(pool.map(lambda each: _usage(engine, each), containers))
    runs = [
        _listed(each, images[each.id], used) for each, used in zip(containers, usages, strict=True)
    ]
    return sorted(runs, key=lambda run: run.started_at or 0.0, reverse=True)


def _usage(engine: Engine, container: RunContainer) -> Usage | None:
    if container.has_ended:
        return None
    try:
        before = engine.containers.statistics(container.id)
        time.sleep(_BETWEEN_SECONDS)
        return usage_of(engine.containers.statistics(container.id), before)
    except EngineError:  # the program has ended meanwhile
        return None


def _listed(container: RunContainer, image: str, used: Usage | None) -> ListedRun:
    labels = container.labels
    began = container.started_at
    ended = container.finished_at if container.has_ended else time.time()
    return ListedRun(
        run_id=container.run_id,
        experiment=labels.get(labels_and_tags.LABEL_EXPERIMENT)
        or labels.get(labels_and_tags.LABEL_EXPERIMENT_ID, ""),
        project=labels.get(labels_and_tags.LABEL_PROJECT, ""),
        entry_point=labels.get(labels_and_tags.LABEL_ENTRY_POINT, ""),
        image=labels.get(labels_and_tags.LABEL_IMAGE) or image,
        state=_state(container),
        exit_code=int(container.state["ExitCode"]) if container.has_ended and began else None,
        started_at=began,
        seconds=max(0.0, ended - began) if began is not None and ended is not None else None,
        cpu_percent=used.cpu_percent if used else None,
        memory_bytes=used.memory_bytes if used else None,
        container_id=container.id,
        tracking_uri=container.tracking_uri,
    )


def _state(container: RunContainer) -> str:
    if container.ending == KEPT:
        return KEPT
    state = str(container.state.get("Status", ""))
    return "stopping" if container.ending and not container.has_ended else state
