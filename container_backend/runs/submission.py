"""The request of a caller for a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from container_backend.config import BackendConfig
from container_backend.privileges import (
    MOST_DEPTH,
    MOST_DEPTH_OF_OTHERS,
    TRUSTED,
    Giver,
    Permissions,
)
from container_backend.project import MAIN
from container_backend.store import Experiment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from container_backend.engine import EngineHost
    from container_backend.image import ImagePlan, ReadyImage
    from container_backend.project import RecordedCode, Source


@dataclass(frozen=True)
class Submission:
    """The request of a caller for a run.

    Attributes:
        uri: The project: a folder, a git address, a zip file, an image.
        version: A branch, tag or commit, for git.
        docker_args: Override those of the config.
        docker_auth: A login for a registry, in MLflow's form.
        tracking_uri: MLflow's current store by default.
        run_id: A run that exists already, to go on with; None for a new one.
        storage_dir: The folder for downloads; overrides that of the config.
        build_image: Put the code into the project's own image, as ``--build-image`` does.
        host: The engine that the environment names by default.
    """

    uri: str
    entry_point: str = MAIN
    parameters: Mapping[str, object] = field(default_factory=dict)
    version: str | None = None
    config: BackendConfig = field(default_factory=BackendConfig)
    docker_args: Mapping[str, Any] = field(default_factory=dict)
    docker_auth: Mapping[str, Any] | None = field(default=None, repr=False)
    tracking_uri: str | None = None
    experiment: Experiment = field(default_factory=Experiment)
    run_name: str | None = None
    run_id: str | None = None
    storage_dir: str | None = None
    build_image: bool = False
    host: EngineHost | None = None
    repetition: Repetition | None = None
    step: Step | None = None

    @property
    def given_docker_args(self) -> dict[str, Any]:
        """Those of the config and the caller, not yet parsed."""
        return {**self.config.docker_args, **self.docker_args}

    @property
    def is_trusted(self) -> bool:
        """The user trusts the project."""
        return self.config.trust_project or self.config.privileges == TRUSTED

    def permissions(self, source: Source) -> Permissions:
        """What the project may ask for."""
        trusted = self.is_trusted
        if self.step is not None:
            # What a program asks for reaches no other file of this machine.
            return Permissions(self.step.giver, trusted, source.fetched or source.directory)
        if self.repetition is not None:
            trusted = trusted or self.repetition.trusted
            return Permissions(Giver.RECORD, trusted, source.fetched)
        giver = Giver.FETCHED if source.is_fetched else Giver.OWN
        return Permissions(giver, trusted, source.fetched)

    @property
    def may_drive(self) -> bool:
        """The program may start steps: it is not itself a step of a step of a step, and so on."""
        step = self.step
        if step is None:
            return True
        is_others = step.giver is not Giver.OWN and not self.is_trusted
        return step.depth < (MOST_DEPTH_OF_OTHERS if is_others else MOST_DEPTH)

    @property
    def repeats(self) -> str:
        """The id of the repeated run; empty for none."""
        return self.repetition.run_id if self.repetition else ""


@dataclass(frozen=True)
class Repetition:
    """What is known of a run that is repeated.

    Attributes:
        directory: The restored code; None to fetch the project from the submission's address.
        temporary: The folder made for the code, which is removed with the new run.
        image: The rebuilt image; None to plan the image from the code.
        code: The record of the code, if the code is that of the record.
        tags: Of the new run.
        recorded: Names of parameters whose values come from the record.
        trusted: The user allows the new run all that the old run was allowed.
    """

    run_id: str
    directory: Path | None = None
    temporary: Path | None = None
    image: ImagePlan | ReadyImage | None = None
    code: RecordedCode | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()
    trusted: bool = False


@dataclass(frozen=True)
class Step:
    """What a run has of the run whose program has started it, its driver.

    Attributes:
        giver: Where the project comes from; it has no more rights than that of the driver.
        depth: 1 for a step of a run that the user has started.
        volumes: Volume → path in the container: the project folders of drivers.
        directory: A copy of what the environment is made of; None to fetch the project.
        root: What was sent with that copy, which the project may name files of.
        place: Where the program finds the project in the container.
        is_there: The project's files are in one of the volumes.
        folder: The working directory of the driver, for relative paths.
        environment: Variables that the driver's program has or has set.
        sources: Path of a project folder → where its files come from.
        tags: Of the run.
        trusts_address: The user has typed the address of the project's repository, for the driver.
        handed: The values that may hand runs and models to the program.
    """

    giver: Giver
    depth: int
    volumes: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    root: Path | None = None
    place: str = ""
    is_there: bool = False
    folder: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    sources: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    handed: tuple[str, ...] = ()
    trusts_address: bool = False
