"""What programs get: who asks by which token, whether that is allowed, and what the store answers."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

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
from container_backend.runs.tracking.serving.steps import PREFIX, serve_steps
from container_backend.store import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.runs.tracking.serving.artifacts import Artifacts
    from container_backend.runs.tracking.serving.asgi import Receive, Send
    from container_backend.runs.tracking.serving.programs import Programs

_logger = logging.getLogger(__package__)
_THREADS: Final = 16
# Turns of the event loop until it knows of a connection that broke.
_TURNS: Final = 2


class Application:
    """Answers requests; see https://asgi.readthedocs.io/en/latest/specs/www.html."""

    def __init__(
        self,
        programs: Programs,
        artifacts: Artifacts,
        is_open: Callable[[tuple[str, int] | None], bool],
    ) -> None:
        """``is_open`` is true while the connection of a client is open."""
        self._programs = programs
        self._artifacts = artifacts
        self._is_open = is_open
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
        if (asked := inner_path(scope["path"])).startswith(PREFIX):
            query = parse_qs(scope["query_string"].decode("latin-1"))
            path = asked.removeprefix(PREFIX)
            await serve_steps(program, scope["method"], path, query, receive, send)
            return
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
            is_waited_for = partial(self._is_open, scope["client"])
            # Nothing more comes, but that the connection broke: the server reads on for that alone.
            leaving = asyncio.ensure_future(receive())
            try:
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                answer = await self._in_thread(program.answer, route, parts, request, is_waited_for)
                await send_answer(send, answer)
            finally:
                leaving.cancel()
            if is_waited_for():
                program.arrived(request, is_waited_for)

    async def _in_thread(self, call: Callable[..., Answer], *args: object) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)
