"""The Docker SDK's client of an engine: tests look at engines by another way than the product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import docker

if TYPE_CHECKING:
    from container_backend.engine import Engine


class _Client(docker.DockerClient):
    """One with the connection of an engine, which is closed with the engine."""

    def __init__(self, engine: Engine) -> None:
        self.api = engine.connection.questions


def client_of(engine: Engine) -> docker.DockerClient:
    return _Client(engine)
