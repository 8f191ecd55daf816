"""Makes a run ready to start steps: its shared folder, what its program knows, the process of the steps."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from container_backend import labels_and_tags
from container_backend.container import volume_name
from container_backend.errors import ContainerError, EngineError
from container_backend.machine import owner_id
from container_backend.privileges import MOST_DEPTH, MOST_DEPTH_OF_OTHERS
from container_backend.project import is_git_address
from container_backend.runs.container_spec import shared_folders
from container_backend.runs.record import absolute_args
from container_backend.runs.steps.driver import Driver, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.container import TrackingAccess
    from container_backend.engine import Engine
    from container_backend.image import EnvironmentImage, ImagePlan, ReadyImage
    from container_backend.runs.ledger import Entry
    from container_backend.runs.plan import Plan
    from container_backend.store import RunRecord

_logger = logging.getLogger(__package__)
# The tags of a run that say where its files come from.
_SOURCE_TAGS = (
    labels_and_tags.MLFLOW_GIT_COMMIT,
    labels_and_tags.MLFLOW_GIT_ADDRESS,
    labels_and_tags.MLFLOW_GIT_BRANCH,
)


def identity_of(image: ImagePlan | ReadyImage) -> str:
    """What two projects with one environment have in common."""
    return image.hash or getattr(image, "reference", "")


class Driving:
    """A run whose program may start steps, before its start; of another run, nothing is done."""

    def __init__(self, plan: Plan, engine: Engine, entry: Entry, record: RunRecord) -> None:
        self._plan = plan
        self._engine = engine
        self._entry = entry
        self._record = record
        self._volumes = shared_folders(plan, entry.submission)
        self._own = volume_name(entry.submission)
        step = plan.step
        self._sources = dict(step.sources) if step is not None else {}
        if not (step is not None and step.is_there):
            tags = {name: record.run.tags[name] for name in _SOURCE_TAGS if name in record.run.tags}
            name = record.run.tags.get(labels_and_tags.MLFLOW_SOURCE_NAME, plan.uri)
            self._sources[plan.place] = Source(name=name, tags=tags)

    def make_folder(self) -> None:
        """Make the volume of the project's folder. Raises EngineError, ContainerError."""
        self.check_folders()
        if self._own in self._volumes:
            labels = {
                labels_and_tags.LABEL_OWNER: owner_id(),
                labels_and_tags.LABEL_RUN_ID: self._record.run_id,
            }
            self._engine.volumes.create(self._own, labels)

    def check_folders(self) -> None:
        """Raise ContainerError if a folder of a driver is gone: the engine would make an empty one."""
        gone = [
            name
            for name in self._volumes
            if name != self._own and not self._engine.volumes.has(name)
        ]
        if gone:
            raise ContainerError(
                "The driver of this step has ended, and its project folder is gone."
            )

    def remove_folder(self) -> None:
        """As the run cannot be started."""
        if self._own in self._volumes:
            try:
                self._engine.volumes.remove(self._own)
            except EngineError as error:  # must not hide the first error
                _logger.debug("The volume %s stays: %s", self._own, error)

    def variables(self, access: TrackingAccess, image: EnvironmentImage) -> dict[str, str]:
        """What the launcher in the container has to know."""
        if self._plan.image_project is not None:
            return {}
        if not self._plan.starts_steps:
            refused = {"project": self._plan.place, "refused": self._why_not()}
            return {labels_and_tags.ENV_STEPS: json.dumps(refused)}
        address, token = access.asked_for_steps
        said = {
            "address": address,
            "project": self._plan.place,
            "places": [*self._volumes.values()],
            "sources": {place: each.model_dump() for place, each in self._sources.items()},
            "tags": {
                labels_and_tags.MLFLOW_ENVIRONMENT: "docker",
                labels_and_tags.MLFLOW_IMAGE_NAME: image.reference,
                labels_and_tags.MLFLOW_IMAGE_ID: image.id,
            },
        }
        return {
            labels_and_tags.ENV_STEPS: json.dumps(said),
            labels_and_tags.ENV_STEPS_TOKEN: token,
        }

    def _why_not(self) -> str:
        step = self._plan.step
        if step is not None and step.depth >= MOST_DEPTH_OF_OTHERS:
            return (
                f"Steps are nested at most {MOST_DEPTH} deep, and {MOST_DEPTH_OF_OTHERS} in a project "
                "that was fetched and is not trusted."
            )
        return (
            "The program was not seen to start steps before it began: name `mlflow.run` in a file of "
            "its project, or give env_manager='local'."
        )

    def start(self) -> None:
        """Start the process of the steps; without it, the program can start none beside it."""
        if not self._plan.starts_steps:
            return
        try:
            self._entry.steps.start(json.dumps(self._driver().model_dump()))
        except OSError as error:
            _logger.warning(
                "The program can start no steps with an environment of their own: %s: '%s'",
                error.strerror or error,
                error.filename or self._entry.steps.path,
            )

    def _driver(self) -> Driver:
        plan, record = self._plan, self._record
        return Driver(
            experiment_id=record.run.experiment_id,
            note=str(self._entry.note),
            tracking_uri=plan.tracking_uri,
            engine=self._engine.host.as_json(),
            image=identity_of(plan.image),
            config=plan.config.model_dump(mode="json"),
            docker_args=absolute_args(plan.given_docker_args),
            docker_auth=dict(plan.docker_auth) if plan.docker_auth else None,
            environment=_in_utf8(plan.docker_args.environment),
            volumes=self._volumes,
            directory=str(plan.project.directory),
            sources=self._sources,
            giver=plan.permissions.giver.name,
            trusted=plan.permissions.trusted,
            address=plan.uri.partition("#")[0] if is_git_address(plan.uri) else "",
            depth=plan.step.depth if plan.step else 0,
        )


def _in_utf8(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that are texts: others cannot be said in JSON."""
    return {
        name: value
        for name, value in variables.items()
        if f"{name}{value}".encode("utf-8", "ignore").decode() == f"{name}{value}"
    }
