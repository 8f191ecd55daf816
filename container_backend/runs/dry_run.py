"""What a run would do, without doing it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from container_backend.container import direct_access, local_path, served_access
from container_backend.errors import ContainerBackendError
from container_backend.image import EnvironmentImage, ReadyImage, find_image, lock_of, resolve
from container_backend.runs.container_spec import container_spec
from container_backend.runs.ledger import check_free, ledger_of
from container_backend.runs.plan import Plan, make_plan
from container_backend.runs.prepare import planned_steps
from container_backend.runs.tracking import open_store
from container_backend.store import await_listener, find_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.container import ContainerSpec
    from container_backend.engine import Engine
    from container_backend.environment import Lock
    from container_backend.image import ImagePlan
    from container_backend.runs.submission import Submission


@dataclass(frozen=True)
class DryRun:
    """What a run would do.

    Attributes:
        container: With ``<run id>`` in place of the id.
        is_there: The engine has the image.
        lock: What the image has installed, or would have; None if the image is not built here.
    """

    image: ImagePlan | ReadyImage
    container: ContainerSpec
    is_there: bool
    lock: Lock | None
    steps: Mapping[str, PlannedStep] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedStep:
    """A project in a folder of the project, which its program may start.

    Attributes:
        is_there: The engine has the image.
        problem: Why it could not be started; empty if it could.
    """

    image: str = ""
    is_there: bool = False
    problem: str = ""


def preview(submission: Submission) -> DryRun:
    """What a launch would do. Nothing is left behind but what the engine caches.

    If the image is missing, the engine resolves the requirements as for a build.

    Raises:
        ContainerBackendError: What a launch would raise before it makes anything.
    """
    with ExitStack() as needed:
        plan, engine = make_plan(submission, needed, needed)
        experiment = None
        store = local_path(plan.tracking_uri)
        if store is None or plan.run_id or store.exists():  # to open a local store creates it
            await_listener(plan.tracking_uri)
            opened = open_store(plan.tracking_uri)
            experiment, _ = find_place(opened, plan.experiment, plan.run_id, create=False)
            check_free(ledger_of(engine.host), engine, plan.run_id)
        artifacts = experiment.artifact_uri if experiment else None
        access = (
            served_access("<tracking proxy>", 0, "<token>", None)
            if plan.is_served
            else direct_access(plan.tracking_uri, artifacts, engine.facts)
        )
        reference, is_there, lock = _look_for(plan, engine)
        spec = container_spec(
            plan,
            engine,
            access,
            image=EnvironmentImage(reference, reference, "", plan.image.hash),
            run_id=plan.run_id or "<run id>",
            submission_id="<id>",
            experiment_id=experiment.experiment_id if experiment else "<new experiment>",
        )
        steps = planned_steps(engine, submission, plan.project, plan.permissions)
        looked_for: dict[str, bool] = {}
        seen = {folder: _seen(engine, each, looked_for) for folder, each in steps.items()}
        return DryRun(plan.image, spec, is_there, lock, seen)


def _seen(
    engine: Engine,
    planned: ImagePlan | ReadyImage | ContainerBackendError,
    looked_for: dict[str, bool],
) -> PlannedStep:
    """``looked_for`` has what was found before: many steps have one environment."""
    if isinstance(planned, ContainerBackendError):
        return PlannedStep(problem=planned.message)
    if isinstance(planned, ReadyImage):
        return PlannedStep(planned.reference, engine.images.has(planned.reference))
    if planned.hash not in looked_for:
        looked_for[planned.hash] = find_image(engine, planned) is not None
    return PlannedStep(planned.tag, looked_for[planned.hash])


def _look_for(plan: Plan, engine: Engine) -> tuple[str, bool, Lock | None]:
    """Reference of the image, True if the engine has it, and its lock."""
    if isinstance(plan.image, ReadyImage):
        return plan.image.reference, engine.images.has(plan.image.reference), None
    image = find_image(engine, plan.image)
    if image is not None:
        return image.reference, True, lock_of(engine, image.reference)
    lock = resolve(engine, plan.image, docker_auth=plan.docker_auth)
    return plan.image.tag, False, lock
