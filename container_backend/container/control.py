"""Finds the container of a run and cancels its program, without MLflow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.container.following import inspect_container
from container_backend.container.marks import CANCELLED, stop_run
from container_backend.errors import InvalidInput
from container_backend.machine import is_submission, run_id_in, submission_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.container.described import RunContainer
    from container_backend.engine import Engine

_VOLUME: Final = "container-backend-"
_RUN_ID: Final = re.compile(r"[0-9a-f]{1,32}")


def check_run_id(prefix: str) -> str:
    """Normalize a run's id or the beginning of an id; raises InvalidInput for another text."""
    text = prefix.strip().lower()
    if not _RUN_ID.fullmatch(text):
        raise InvalidInput(
            f"'{prefix}' is not the id of a run, nor the beginning of one.",
            remedy="List the runs with `container-backend ps -a`.",
        )
    return text


def find_container(
    engine: Engine, prefix: str, is_ours: Callable[[Mapping[str, str]], bool]
) -> RunContainer | None:
    """The container of the run whose id begins with a prefix; None if missing.

    Args:
        is_ours: True for the labels of a container of this user. Containers of others, who can set
            any label, count only if no container of this user has such an id.

    Raises:
        InvalidInput: The ids of several runs begin with the prefix.
    """
    listed = [
        each
        for each in engine.containers.find(labels_and_tags.LABEL_RUN_ID)
        if submission_in(each["Labels"]) and run_id_in(each["Labels"]).startswith(prefix)
    ]
    listed = [each for each in listed if is_ours(each["Labels"])] or listed
    found = {run_id_in(each["Labels"]): str(each["Id"]) for each in listed}
    if len(found) > 1 and prefix not in found:
        raise ambiguous(prefix, sorted(found))
    container_id = found.get(prefix) or next(iter(found.values()), None)
    return None if container_id is None else inspect_container(engine, container_id)


def ambiguous(prefix: str, run_ids: list[str]) -> InvalidInput:
    """The error for a prefix of several run ids."""
    shown = ", ".join(run_ids[:5]) + (", …" if len(run_ids) > 5 else "")  # noqa: PLR2004
    return InvalidInput(
        f"{len(run_ids)} runs begin with '{prefix}': {shown}.", remedy="Give more of its id."
    )


def volume_name(submission: str) -> str:
    """The volume with the project folder of a run whose program starts steps."""
    return f"{_VOLUME}{submission}"


def remove_container(engine: Engine, container_id: str, labels: Mapping[str, str]) -> None:
    """Remove the container of a run, and the project folders that no other run shares any more.

    Raises:
        EngineError: The engine refuses, or does not answer.
    """
    engine.containers.remove(container_id)
    for name in labels.get(labels_and_tags.LABEL_VOLUMES, "").split():
        # A label may say anything: only a volume that was made for a run is removed.
        if name.startswith(_VOLUME) and is_submission(name.removeprefix(_VOLUME)):
            engine.volumes.remove(name)


def cancel_program(engine: Engine, container_id: str, grace: float | None = None) -> bool:
    """Stop a program and mark its run as cancelled; False if no program was running.

    Args:
        grace: Seconds before SIGKILL; by default those of the backend config.
    """
    found = inspect_container(engine, container_id)
    if found is None or found.has_ended:
        return False
    stop_run(engine, found.id, found.run_id, CANCELLED, grace)
    return True
