"""Messages of ASGI: https://asgi.readthedocs.io/en/latest/specs/www.html."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from container_backend.runs.tracking.rules import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    import uvicorn

    from container_backend.store import Answer

    Receive = Callable[[], Awaitable[Mapping[str, Any]]]
    Send = Callable[[Mapping[str, Any]], Awaitable[None]]

# A larger request is refused; artifacts have no limit. MLflow's own largest is 1 MB (log-batch), and
# more with spans.
_MOST_BYTES: Final = 64 * 1024**2
_OF_SPANS: Final = ("x-mlflow-experiment-id", "x-mlflow-run-id")


async def send_answer(send: Send, answer: Answer) -> None:
    """Send an answer in one piece."""
    kind = answer.headers.get("content-type", "application/json")
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(answer.body)).encode()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def read_body(receive: Receive) -> bytes:
    """The body of a request. Raises Refused if it is too long, or the client went away."""
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "BAD_REQUEST", "The connection broke.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > _MOST_BYTES:
            raise Refused(
                413, "INVALID_PARAMETER_VALUE", f"A request has at most {_MOST_BYTES} bytes."
            )
        if not message.get("more_body", False):
            return b"".join(chunks)


def is_open(servers: Iterable[uvicorn.Server], client: tuple[str, int] | None) -> bool:
    """True while the connection of a client is open; ``client`` is its address, as ASGI has it."""
    return any(
        getattr(each, "client", None) == client
        for server in servers
        for each in list(server.server_state.connections)
    )


def counting(receive: Receive, take: Callable[[int], None]) -> Receive:
    """Receive, and call ``take`` with the size of each piece, in bytes."""

    async def receive_and_count() -> Mapping[str, Any]:
        message = await receive()
        take(len(message.get("body", b"")))
        return message

    return receive_and_count


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a request, their names in lower case."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }


def passed(headers: Mapping[str, str], *, is_own: bool) -> dict[str, str]:
    """The headers that MLflow's server reads; a fetched project chooses no workspace."""
    names = {"content-type", "content-encoding", "user-agent", *_OF_SPANS}
    return {
        name: value
        for name, value in headers.items()
        if name in names or (is_own and name.startswith("x-mlflow-"))
    }
