"""What the process of the steps knows of their driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from container_backend.engine import EngineHost
from container_backend.machine import FrozenModel
from container_backend.privileges import Giver

if TYPE_CHECKING:
    from collections.abc import Mapping


class Source(FrozenModel):
    """Where the files of a project folder come from, as tags of MLflow say."""

    name: str
    tags: dict[str, str]

    def below(self, path: str) -> str:
        """The name of a folder below, in MLflow's form."""
        if path in {"", "."}:
            return self.name
        is_folder = "#" in self.name or "://" not in self.name
        return f"{self.name.rstrip('/')}{'/' if is_folder else '#'}{path}"


class Driver(FrozenModel):
    """A run whose program may start steps.

    Attributes:
        note: The file that is there until the run is finished.
        engine: As :meth:`EngineHost.as_json` has it.
        image: What tells its image from others.
        config: The backend config, as given.
        docker_args: As given, with absolute paths.
        environment: Variables of its program.
        volumes: Volume → path: the project folders that its steps see.
        directory: Its project on this machine, which may have changed.
        sources: Path of a project folder → where that comes from.
        giver: Where its project comes from (:class:`Giver`).
        address: The repository that the user has typed; empty for a folder.
        trusted: The user trusts the project.
    """

    experiment_id: str
    note: str
    tracking_uri: str
    engine: dict[str, Any]
    image: str
    config: dict[str, Any]
    docker_args: dict[str, Any]
    docker_auth: dict[str, Any] | None = Field(default=None, repr=False)
    environment: dict[str, str] = Field(repr=False)
    volumes: dict[str, str]
    directory: str
    sources: dict[str, Source]
    giver: str
    trusted: bool = False
    address: str = ""
    depth: int = 0

    @property
    def host(self) -> EngineHost:
        """Raises EngineUnavailable: The certificates are gone."""
        return EngineHost.from_json(self.engine)

    @property
    def is_own(self) -> bool:
        """The project is a folder of the user."""
        return self.giver == Giver.OWN.name

    @property
    def is_trusted(self) -> bool:
        """The steps may take what the user's own projects may take."""
        return self.is_own or self.trusted

    def place_of(self, folder: str) -> str | None:
        """The project folder that a folder of the container is in, of those that steps see."""
        for place in self.volumes.values():
            if folder == place or folder.startswith(f"{place}/"):
                return place
        return None

    def source_of(self, folder: str) -> tuple[str, Mapping[str, str]]:
        """The name and the tags of a folder in a project folder."""
        place = self.place_of(folder) or folder
        source = self.sources.get(place, Source(name=place, tags={}))
        return source.below(folder[len(place) :].strip("/")), source.tags
