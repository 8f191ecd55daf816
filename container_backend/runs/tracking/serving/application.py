"""What programs get: who asks by which token, whether that is allowed, and what the store answers."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from container_backend.runs.tracking.grants import Reached
from container_backend.runs.tracking.rules import (
    Refused,
    Rule,
    ended,
    forbidden,
    inner_path,
    route_of,
)
from container_backend.runs.tracking.serving.asgi import (
    counting,
    headers_of,
    passed,
    read_body,
    send_answer,
)
from container_backend.runs.tracking.serving.programs import Program
from container_backend.store import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.runs.tracking.grants import Grants
    from container_backend.runs.tracking.serving.artifacts import Artifacts
    from container_backend.runs.tracking.serving.asgi import Receive, Send
    from container_backend.runs.tracking.serving.roots import Roots
    from container_backend.runs.tracking.serving.served import Served

_logger = logging.getLogger(__package__)
_THREADS: Final = 16
# Of the event loop: it looks for news of connections, and hears them.
_TURNS: Final = 2


class Application:
    """Answers requests; see https://asgi.readthedocs.io/en/latest/specs/www.html."""

    def __init__(
        self,
        programs: Programs,
        artifacts: Artifacts,
        connection: Callable[[tuple[str, int] | None], Callable[[], bool]],
    ) -> None:
        """``connection`` gives what tells whether the connection of a client is open."""
        self._programs = programs
        self._artifacts = artifacts
        self._connection = connection
        self._pool = ThreadPoolExecutor(_THREADS, "request")

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await self._serve(scope, receive, send)
        except Refused as refused:
            said = {"error_code": refused.code, "message": refused.message}
            await send_answer(send, Answer.of(said, refused.status))
        except Exception:
            _logger.exception("%s %s", scope["method"], scope["path"])
            said = {"error_code": "INTERNAL_ERROR", "message": "The tracking proxy failed."}
            await send_answer(send, Answer.of(said, HTTPStatus.INTERNAL_SERVER_ERROR))

    async def _serve(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        token = headers.pop("authorization", "").removeprefix("Bearer ")
        if inner_path(scope["path"]) == "health":
            await send_answer(send, Answer(200, b"OK"))
            return
        program = self._programs.find(token)
        if program is None:
            raise ended()
        if program.grant.way:
            Reached(program.grant.way).renew()
        found = route_of(scope["method"], scope["path"])
        if found is None:
            raise Refused(404, "ENDPOINT_NOT_FOUND", f"There is no '{scope['path']}'.")
        route, parts = found
        if route.rule is Rule.REFUSED:
            raise forbidden(f"'{route.pattern}' is not for programs: {route.rule.value}.")
        async with program.asking():
            query = scope["query_string"].decode("latin-1")
            if route.rule is Rule.ARTIFACTS:
                program.check(route, parts, Request(scope["method"], scope["path"], query))
                counted = counting(receive, program.take)
                await self._artifacts.serve(scope["method"], parts, parse_qs(query), counted, send)
                return
            request = Request(
                scope["method"],
                scope["path"],
                query,
                await read_body(receive),
                passed(headers, is_own=program.grant.is_own),
            )
            is_waited_for = self._connection(scope["client"])
            for _ in range(_TURNS):  # a connection that broke meanwhile is known as such then
                await asyncio.sleep(0)
            answer = await self._in_thread(program.answer, route, parts, request, is_waited_for)
            await send_answer(send, answer)
            if is_waited_for():
                program.arrived(request, is_waited_for)

    async def _in_thread(self, call: Callable[..., Answer], *args: object) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)


class Programs:
    """The programs whose runs go on."""

    def __init__(self, grants: Grants, store: Served, roots: Roots) -> None:
        self._grants = grants
        self._store = store
        self._roots = roots
        self._known: dict[str, Program] = {}

    def find(self, token: str) -> Program | None:
        """The program with a token; None if its run has ended, or the token is wrong."""
        grant = self._grants.find(token)
        if grant is None:
            return None
        known = self._known.get(grant.submission)
        if known is None or known.grant != grant:
            known = Program(grant, self._grants, self._store, self._roots)
            self._known[grant.submission] = known
        return known

    async def end(self, submission: str) -> None:
        """End a grant, and wait until what its program has asked for is answered."""
        self._grants.end(submission)
        program = self._known.pop(submission, None)
        if program is not None:
            await program.end()

    def fence(self, submission: str) -> bool:
        """As :meth:`Program.fence`, for the run of a submission."""
        program = self._known.get(submission)
        return program is None or program.fence()

    def tidy(self) -> bool:
        """Forget the programs of runs that were finished. True if a run goes on."""
        going_on = self._grants.tidy()
        for submission in self._known.keys() - going_on:
            del self._known[submission]
        return bool(going_on)
