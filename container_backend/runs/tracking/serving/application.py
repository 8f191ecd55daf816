"""The proxy as an ASGI application: who asks, whether that is allowed, and what the store answers.

A program shows the token of its grant. Processes of the user show the key of the proxy, and tell the
proxy what to do.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from concurrent.futures import ThreadPoolExecutor
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
from container_backend.runs.tracking.serving.asgi import counting, read_body, send_answer
from container_backend.store import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.runs.tracking.serving.artifacts import Artifacts
    from container_backend.runs.tracking.serving.asgi import Receive, Send
    from container_backend.runs.tracking.serving.control import Control
    from container_backend.runs.tracking.serving.programs import Programs

_logger = logging.getLogger(__package__)
_THREADS: Final = 16
_PREFIX: Final = "/container-backend/"
_OF_SPANS: Final = ("x-mlflow-experiment-id", "x-mlflow-run-id")


class Application:
    """Answers requests; see https://asgi.readthedocs.io/en/latest/specs/www.html."""

    def __init__(
        self, programs: Programs, artifacts: Artifacts, control: Control, key: str
    ) -> None:
        self._programs = programs
        self._artifacts = artifacts
        self._control = control
        self._key = key
        self._pool = ThreadPoolExecutor(_THREADS, "request")
        self._was_asked = True

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
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        token = headers.pop("authorization", "").removeprefix("Bearer ")
        if hmac.compare_digest(token.encode(), self._key.encode()):
            await self._serve_user(scope["path"], receive, send)
            return
        if inner_path(scope["path"]) == "health":
            await send_answer(send, Answer(200, b"OK"))
            return
        program = self._programs.find(token)
        if program is None:
            raise ended()
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
                _passed(headers, is_own=program.grant.is_own),
            )
            is_waited_for = self._control.connection(scope["client"])
            answer = await self._in_thread(program.answer, route, parts, request, is_waited_for)
            await send_answer(send, answer)
            if is_waited_for():
                program.arrived(request, is_waited_for)

    def was_asked(self) -> bool:
        """True if a process of the user has asked since the last call."""
        was, self._was_asked = self._was_asked, False
        return was

    async def _serve_user(self, path: str, receive: Receive, send: Send) -> None:
        self._was_asked = True
        said = await self._control.do(path.removeprefix(_PREFIX), await read_body(receive))
        await send_answer(send, Answer.of(said))

    async def _in_thread(self, call: Callable[..., Answer], *args: object) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)


def _passed(headers: Mapping[str, str], *, is_own: bool) -> dict[str, str]:
    """The headers that MLflow's server reads; a fetched project chooses no workspace."""
    names = {"content-type", "content-encoding", "user-agent", *_OF_SPANS}
    return {
        name: value
        for name, value in headers.items()
        if name in names or (is_own and name.startswith("x-mlflow-"))
    }
