"""What processes of the user ask of the proxy.

They ask at a socket in the user's folder, which no program reaches: what the proxy is to do, and the store
itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from container_backend.runs.tracking.grants import listen
from container_backend.runs.tracking.serving import forward
from container_backend.runs.tracking.serving.asgi import (
    headers_of,
    passed,
    read_body,
    send_answer,
)
from container_backend.store import Answer, Request

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from container_backend.runs.tracking.grants import ProxyFolder
    from container_backend.runs.tracking.serving.asgi import Receive, Send
    from container_backend.runs.tracking.serving.programs import Programs
    from container_backend.runs.tracking.serving.served import Served

_logger = logging.getLogger(__package__)
_PREFIX: Final = "/container-backend/"
_THREADS: Final = 16


class Control:
    """Answers requests of the user's processes, and listens where it is told to."""

    def __init__(
        self,
        folder: ProxyFolder,
        store: Served,
        programs: Programs,
        check_store: Callable[[], None],
        serve: Callable[[socket.socket], None],
    ) -> None:
        """Serve nothing yet.

        Args:
            check_store: Ends the process if the store is not the one that was opened.
            serve: Has programs answered at a socket that listens.
        """
        self._folder = folder
        self._store = store
        self._check_store = check_store
        self._programs = programs
        self._pool = ThreadPoolExecutor(_THREADS, "user")
        self._was_asked = True
        self._carried: set[str] = set()
        self._hosts: list[str] = []
        self._serve = serve

    def serve(self, listening: socket.socket) -> None:
        """Answer programs at a socket that listens."""
        self._hosts.append(listening.getsockname()[0])
        self._serve(listening)

    def forward(self, submission: str) -> None:
        """Carry the connections of a run's container, if that is noted."""
        grants = self._folder.grants
        if (
            submission not in self._carried
            and (noted := forward.read(grants, submission)) is not None
        ):
            self._carried.add(submission)
            forward.carry(noted, self._folder.port(), partial(grants.goes_on, submission))

    def was_asked(self) -> bool:
        """True if a process of the user has asked since the last call."""
        was, self._was_asked = self._was_asked, False
        return was

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request: https://asgi.readthedocs.io/en/latest/specs/www.html."""
        self._was_asked = True
        self._check_store()
        try:
            answer = await self._answer(scope, await read_body(receive))
        except Exception as error:
            _logger.exception("%s %s", scope["method"], scope["path"])
            answer = Answer.of({"message": str(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)
        await send_answer(send, answer)

    async def _answer(self, scope: Mapping[str, Any], body: bytes) -> Answer:
        path, headers = scope["path"], headers_of(scope)
        if path.startswith(_PREFIX):
            return Answer.of(await self._do(path.removeprefix(_PREFIX), body))
        query = scope["query_string"].decode("latin-1")
        request = Request(scope["method"], path, query, body, passed(headers, is_own=True))
        root = unquote(headers.get("x-artifact-root", ""))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._store.call, request, root)

    async def _do(self, what: str, body: bytes) -> dict[str, Any]:
        """Carry out a request; the answer is JSON. Raises OSError, KeyError, ValueError."""
        said = json.loads(body or b"{}")
        if what == "ping":
            return {}
        if what == "listen":
            return {"error": self.listen(said["host"])}
        if what == "forward":
            self.forward(said["submission"])
            return {}
        if what == "fence":
            return {"is_fenced": self._programs.fence(said["submission"])}
        if what == "end":
            await self._programs.end(said["submission"])
            return {}
        raise KeyError(what)

    def listen(self, host: str) -> str:
        """Listen at an address of this machine, too; returns what is wrong, or nothing."""
        if host in self._hosts:
            return ""
        try:
            self.serve(listen(host, self._folder.port()))
            self._folder.note_hosts(self._hosts)
        except OSError as error:
            return f"{error.strerror or error}"
        return ""
