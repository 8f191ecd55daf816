"""MLflow's own server application over a store on this machine's disk, called inside of this process.

The application is the one that `mlflow server` serves, without the process and without the network: what
a client gets does not depend on this package.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from mlflow.exceptions import MlflowException

from container_backend.store.client import (
    MOST_WRITERS,
    alone_in_store,
    ask_server,
    server_application,
    server_routes,
    store_with_root,
    traces_application,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

# Begins the answer of a server that does not answer.
SERVER_AWAY: Final = "The tracking server does not answer"
_NOT_SENT: Final = re.compile(
    "Connection refused|Failed to establish a new connection|Failed to resolve|No route to host"
)
# The artifact root of the request that a thread serves: an address, or empty for the default.
artifact_root: Final = contextvars.ContextVar("artifact_root", default="")


@dataclass(frozen=True)
class Request:
    """A request to MLflow's server; ``path`` as the client has sent it, unquoted."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """An answer; the names of its headers are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, said: object, status: int = HTTPStatus.OK) -> Answer:
        """An answer in JSON."""
        return cls(status, json.dumps(said).encode(), {"content-type": "application/json"})

    @property
    def is_ok(self) -> bool:
        return self.status == HTTPStatus.OK

    @property
    def has_failed(self) -> bool:
        """The server failed, and the request may be sent again."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


class StoreServer:
    """Answers requests as `mlflow server` does, in any thread."""

    def __init__(self, tracking_uri: str, root: str) -> None:
        """Import the application.

        Args:
            tracking_uri: Of a database or a folder on this disk; absolute.
            root: Where new experiments have their artifacts, by default: an address.
        """
        self._application = server_application(tracking_uri, root)
        with alone_in_store(tracking_uri):
            store_with_root(artifact_root)  # opens the store
        self._writers = threading.BoundedSemaphore(MOST_WRITERS)

    def call(self, request: Request, root: str = "") -> Answer:
        """Answer a request; an error of the application is an answer, too."""
        artifact_root.set(root)
        with self._writers:
            if request.path == "/v1/traces":
                return self._log_spans(request)
            client = self._application.test_client(use_cookies=False)
            said = client.open(
                quote(request.path),
                method=request.method,
                query_string=_plain(request.query),
                data=request.body,
                headers=dict(request.headers),
            )
            return Answer(said.status_code, said.get_data(), _lower(dict(said.headers)))

    @staticmethod
    def routes() -> list[tuple[str, str]]:
        """Method and path of all routes of this version of MLflow."""
        return server_routes()

    @staticmethod
    def _log_spans(request: Request) -> Answer:
        application = traces_application()
        if application is None:  # of a version before 3.4, whose client sends none
            return Answer(404, b"")
        return asyncio.run(_call_asgi(application, request))


class StoreElsewhere:
    """A tracking server, asked with the login of this process."""

    def __init__(self, tracking_uri: str) -> None:
        self._tracking_uri = tracking_uri

    def call(self, request: Request, root: str = "") -> Answer:  # noqa: ARG002 a server has its own
        """Ask the server. An answer with status 503 stands for a server that does not answer."""
        endpoint = quote(request.path) + (f"?{_plain(request.query)}" if request.query else "")
        try:
            status, body, headers = ask_server(
                self._tracking_uri, request.method, endpoint, request.body, dict(request.headers)
            )
        except MlflowException as error:
            # Only a request that did not arrive may be sent again.
            away = _NOT_SENT.search(str(error)) is not None
            said = SERVER_AWAY if away else "The tracking server has not answered"
            return Answer(503 if away else 504, f"{said}: {error}".encode())
        return Answer(status, body, _lower(headers))


def _plain(query: str) -> str:
    """A query as every reader understands it."""
    return urlencode(parse_qsl(query, keep_blank_values=True))


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def _call_asgi(application: FastAPI, request: Request) -> Answer:
    """Answer a request by an ASGI application: https://asgi.readthedocs.io/en/latest/specs/www.html."""
    status, headers, chunks = 500, {}, []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            chunks.append(message.get("body", b""))

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": request.method, "path": request.path, "raw_path": request.path.encode(),
        "root_path": "", "query_string": request.query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in request.headers.items()],
    }  # fmt: skip
    await application(scope, receive, send)
    return Answer(status, b"".join(chunks), headers)
