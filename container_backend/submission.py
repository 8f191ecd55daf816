"""What a caller asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from container_backend.config import BackendConfig
from container_backend.project import MAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import EngineHost
    from container_backend.repetition import Repetition


@dataclass(frozen=True)
class Experiment:
    """Where the run goes: by id or by name; MLflow's default when neither is given."""

    id: str | None = None
    name: str | None = None


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
