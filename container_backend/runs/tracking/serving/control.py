"""What processes of the user tell the proxy, and what the proxy knows of its connections."""

from __future__ import annotations

import json
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from container_backend.runs.tracking.serving import forward

if TYPE_CHECKING:
    from collections.abc import Callable

    import uvicorn

    from container_backend.runs.tracking.grants import ProxyFolder
    from container_backend.runs.tracking.serving.programs import Programs


class Control:
    """The requests below `/container-backend/`, which need the key of the proxy."""

    def __init__(self, folder: ProxyFolder, programs: Programs) -> None:
        self._folder = folder
        self._programs = programs
        self._carried: set[str] = set()
        self._hosts: set[str] = set()
        self._servers: list[uvicorn.Server] = []
        self._serve: Callable[[socket.socket], uvicorn.Server] | None = None

    def serve_by(self, serve: Callable[[socket.socket], uvicorn.Server]) -> None:
        """``serve`` answers at a socket that listens."""
        self._serve = serve

    def listen(self, host: str, port: int) -> int:
        """Listen at an address of this machine; return the port. Raises OSError."""
        listening = socket.create_server((host, port), reuse_port=False, backlog=256)
        self._hosts.add(host)
        assert self._serve is not None  # noqa: S101 set before the first call
        self._servers.append(self._serve(listening))
        return int(listening.getsockname()[1])

    def forward(self, submission: str) -> None:
        """Carry the connections of a run's container, if that is noted."""
        grants = self._folder.grants
        if (
            submission not in self._carried
            and (noted := forward.read(grants, submission)) is not None
        ):
            self._carried.add(submission)
            forward.carry(noted, self._folder.port(), partial(grants.goes_on, submission))

    def connection(self, client: tuple[str, int] | None) -> Callable[[], bool]:
        """Tells whether the connection from an address is open."""

        def is_open() -> bool:
            return any(
                getattr(each, "client", None) == client
                for server in self._servers
                for each in list(server.server_state.connections)
            )

        return is_open

    async def do(self, what: str, body: bytes) -> dict[str, Any]:
        """Carry out a request; the answer is JSON. Raises OSError, KeyError, ValueError."""
        said = json.loads(body or b"{}")
        if what == "ping":
            return {}
        if what == "listen":
            return {"error": self._listen(said["host"])}
        if what == "forward":
            self.forward(said["submission"])
            return {}
        if what == "end":
            await self._programs.end(said["submission"])
            return {}
        raise KeyError(what)

    def _listen(self, host: str) -> str:
        if host in self._hosts:
            return ""
        try:
            self.listen(host, self._folder.port())
            self._folder.note_host(host)
        except OSError as error:
            return f"{error.strerror or error}"
        return ""
