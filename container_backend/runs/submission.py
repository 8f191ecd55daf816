"""What a caller asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from container_backend.config import BackendConfig
from container_backend.project import MAIN
from container_backend.store import Experiment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from container_backend.engine import EngineHost
    from container_backend.image import ImagePlan, ReadyImage
    from container_backend.project import RecordedCode


@dataclass(frozen=True)
class Submission:
    """What a caller asks for.

    Attributes:
        uri: The project: a folder, a git address, a zip file.
        entry_point: Which of its entry points.
        parameters: Name → value.
        version: A branch, tag or commit, for git.
        config: The backend config.
        docker_args: Over those of the config.
        docker_auth: A login for a registry, as MLflow takes it.
        tracking_uri: Of the tracking store; MLflow's current one by default.
        experiment: Where the run goes.
        run_name: Its name.
        storage_dir: Where files are downloaded to; over that of the config.
        build_image: Whether a project's own image gets its code, as with ``--build-image``.
        host: The engine; that of the environment by default.
        repetition: Of another run; the project is not looked for then.
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
    storage_dir: str | None = None
    build_image: bool = False
    host: EngineHost | None = None
    repetition: Repetition | None = None

    @property
    def repeats(self) -> str:
        """The id of the run that this repeats; empty for none."""
        return self.repetition.run_id if self.repetition else ""


@dataclass(frozen=True)
class Repetition:
    """A run that was, as far as it can be had again.

    Attributes:
        run_id: Of that run.
        directory: Its code; None where that is what the submission's address says.
        temporary: The folder that was made for it; goes with the new run.
        image: Its image; None where it is to be found out from the code.
        code: What was written down of the code, where that is what is there.
        tags: For the new run.
        recorded: Names of the parameters whose values are those of that run.
        trusted: The user allows the new run what that run was allowed.
    """

    run_id: str
    directory: Path | None = None
    temporary: Path | None = None
    image: ImagePlan | ReadyImage | None = None
    code: RecordedCode | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()
    trusted: bool = False
