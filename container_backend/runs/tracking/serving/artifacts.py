"""Artifacts on this machine's disk, sent and received in pieces: memory stays as it is."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend.labels_and_tags import TEMPORARY_PREFIX
from container_backend.runs.tracking.rules import Refused, place_of
from container_backend.runs.tracking.serving.asgi import send_answer
from container_backend.store import (
    Answer,
    WrongPath,
    new_file,
    open_file,
    parts_of,
    remove,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from container_backend.runs.tracking.rules import Place
    from container_backend.runs.tracking.serving.asgi import Receive, Send
    from container_backend.runs.tracking.serving.roots import Roots

_PIECE: Final = 1024**2


class Artifacts:
    """MLflow's protocol for artifacts (mlflow.server.handlers, `mlflow-artifacts`)."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots

    async def serve(
        self,
        method: str,
        parts: Sequence[str],
        query: Mapping[str, list[str]],
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a request. Raises Refused.

        Args:
            parts: The path of the artifact; nothing to list the folder that the query names.
        """
        named = parts[0] if parts else query.get("path", [""])[0]
        place = place_of(named)
        if place is None:
            raise _missing(named)
        folder = await asyncio.to_thread(self._roots.folder, place)
        try:
            if not parts:
                listed = await asyncio.to_thread(self._listed, place)
                await send_answer(send, Answer.of({"files": listed}))
            elif folder is None:
                await self._elsewhere(method, place, receive, send)
            elif method == "GET":
                await _send_file(folder, place.path, send)
            elif method == "PUT":
                await _receive_file(folder, place.path, receive)
                await send_answer(send, Answer.of({}))
            else:
                await asyncio.to_thread(remove, folder, place.path)
                await send_answer(send, Answer.of({}))
        except WrongPath:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Invalid path: {named}") from None
        except OSError as error:
            raise _failed(named, error) from error

    async def _elsewhere(self, method: str, place: Place, receive: Receive, send: Send) -> None:
        """Artifacts of a store elsewhere, by way of a temporary folder: its clients take files."""
        store = await asyncio.to_thread(self._roots.elsewhere, place)
        above, _, name = "/".join(parts_of(place.path)).rpartition("/")
        if not name:
            raise WrongPath(place.path)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as temporary:
            folder = Path(temporary)
            if method == "GET":
                found = await asyncio.to_thread(store.download_artifacts, place.path, temporary)
                await _send_file(folder, str(Path(found).relative_to(folder)), send)
                return
            if method == "PUT":
                await _receive_file(folder, name, receive)
                await asyncio.to_thread(store.log_artifact, str(folder / name), above or None)
            else:
                await asyncio.to_thread(store.delete_artifacts, place.path)
            await send_answer(send, Answer.of({}))

    def _listed(self, place: Place) -> list[dict[str, Any]]:
        """The names in a folder, relative to it, as MLflow's client expects them."""
        listed = self._roots.listed(place, place.path) or []
        return [{**each, "path": str(each["path"]).rpartition("/")[2]} for each in listed]


async def _send_file(folder: Path, path: str, send: Send) -> None:
    opened = await asyncio.to_thread(open_file, folder, path)
    with opened:
        size = os.fstat(opened.fileno()).st_size
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(size).encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        left = size
        while left > 0:
            piece = await asyncio.to_thread(opened.read, min(_PIECE, left))
            if not piece:
                raise OSError(f"'{path}' became shorter while it was read")
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
        if not size:
            await send({"type": "http.response.body", "body": b""})


async def _receive_file(folder: Path, path: str, receive: Receive) -> None:
    if not parts_of(path):
        raise WrongPath(path)
    written = new_file(folder, path)
    file = await asyncio.to_thread(written.__enter__)
    try:
        more = True
        while more:
            pieces, size = [], 0
            while more and size < _PIECE:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionResetError("the client went away")
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                more = message.get("more_body", False)
            await asyncio.to_thread(file.writelines, pieces)
    except BaseException as error:
        await asyncio.to_thread(written.__exit__, type(error), error, error.__traceback__)
        raise
    await asyncio.to_thread(written.__exit__, None, None, None)


def _missing(named: str) -> Refused:
    return Refused(404, "RESOURCE_DOES_NOT_EXIST", f"There is no artifact '{named}'.")


def _failed(named: str, error: OSError) -> Refused:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return _missing(named)
    if isinstance(error, IsADirectoryError):
        return Refused(400, "INVALID_PARAMETER_VALUE", f"'{named}' is a folder.")
    # The client sends the request again.
    return Refused(503, "TEMPORARILY_UNAVAILABLE", f"'{named}': {error.strerror or error}")
