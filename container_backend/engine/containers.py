"""What an engine is asked of its containers: each verb is one question or one order."""

from __future__ import annotations

import io
import math
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import quote

from container_backend.engine.api import asking, sending
from container_backend.engine.raw_stream import RawStream
from container_backend.errors import EngineError, NotThere, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from container_backend.engine.api import Connection

_LOG_BYTES: Final = 1024 * 1024


class Containers:
    """The containers of an engine, by id or name.

    Each verb raises :class:`Refused` for an answer that is an error, :class:`NotThere` for a
    container that the engine does not have, and :class:`EngineUnavailable` for no answer.
    """

    def __init__(self, connection: Connection) -> None:
        """Ask nothing yet."""
        self._connection = connection
        self._api = connection.questions

    @asking()
    def create(
        self, image: str, *, host_config: Mapping[str, Any] | None = None, **options: object
    ) -> str:
        """Create a container.

        Args:
            image: Its image.
            host_config: Keyword arguments of the SDK's ``create_host_config``.
            options: Keyword arguments of the SDK's ``create_container``.

        Returns:
            Its id.
        """
        if host_config is not None:
            options["host_config"] = self._api.create_host_config(**host_config)
        return str(self._api.create_container(image, **options)["Id"])

    @asking()
    def start(self, container: str) -> None:
        """Start a container, whose program may have ended before."""
        self._api.start(container)

    def stop(self, container: str, seconds: float | None = None) -> None:
        """Have a program stop, with its own signal; returns when it has. One that has ended is fine.

        Args:
            container: Id or name; a missing one is fine.
            seconds: Until SIGKILL; those that the container was made with by default.
        """
        timeout = None if seconds is None else math.ceil(seconds)
        with suppress(NotThere), asking():
            self._connection.streams.stop(container, timeout=timeout)

    def rename(self, container: str, name: str) -> bool:
        """Rename a container. False for a missing one; True where it has that name already."""
        try:
            with asking():
                self._api.rename(container, name)
        except NotThere:
            return False
        except Refused:
            try:  # another process may have renamed it at the same time
                return str(self.inspect(container)["Name"]) == f"/{name}"
            except NotThere:
                return False
        return True

    def remove(self, container: str) -> None:
        """Remove a container, running or not. A missing one is fine."""
        try:
            with asking():
                self._api.remove_container(container, force=True, v=True)
        except NotThere:
            return
        except Refused as error:
            if not error.is_conflict:  # another process removes it
                raise

    def give_up(self, container: str) -> None:
        """As :meth:`remove`, after an error that another one must not hide."""
        with suppress(EngineError):
            self.remove(container)

    @asking()
    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine says of a container."""
        return dict(self._api.inspect_container(container))

    @asking()
    def find(self, *labels: str, name: str | None = None) -> list[dict[str, Any]]:
        """A summary of each container, running or not.

        Args:
            labels: ``name`` or ``name=value``; a container must have all of them.
            name: A part of its name.
        """
        filters: dict[str, Any] = {"label": [*labels]}
        if name is not None:
            filters["name"] = name
        return [dict(each) for each in self._api.containers(all=True, filters=filters)]

    def read_file(self, container: str, path: str) -> bytes | None:
        """The content of a file in a container, running or not; None for a missing file."""
        try:
            with asking():
                chunks, _ = self._api.get_archive(container, path)
                packed = b"".join(chunks)
        except NotThere:
            return None
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            member = archive.next()
            file = archive.extractfile(member) if member is not None else None
            return file.read() if file is not None else None

    def copy_folder(self, container: str, path: str, target: Path) -> None:
        """Copy the files in a folder of a container; nothing where the folder is missing.

        Args:
            container: Running or not.
            path: Of the folder; links in it are left out.
            target: A folder of this machine.

        Raises:
            OSError: The folder of this machine cannot be written to.
        """
        with tempfile.TemporaryFile() as packed:
            for chunk in self._archive(container, path):
                packed.write(chunk)
            if not packed.tell():
                return
            packed.seek(0)
            with tarfile.open(fileobj=packed) as archive:
                _unpack(archive, target)

    def _archive(self, container: str, path: str) -> Iterator[bytes]:
        """The tar of a path; nothing where the path is missing."""
        try:
            with asking():
                chunks, _ = self._api.get_archive(container, path)
                yield from chunks
        except NotThere:
            return

    def has_path(self, container: str, path: str) -> bool:
        """Whether there is a file or folder in a container."""
        with asking():
            return self._connection.has("/containers/{0}/archive", container, query={"path": path})

    def put_archive(self, container: str, path: str, packed: IO[bytes]) -> None:
        """Unpack a tar in a folder of a container.

        Raises:
            OSError: The tar cannot be read.
        """
        with sending(packed) as file:
            self._api.put_archive(container, path, file)

    def logs(self, container: str, **parameters: str | int | None) -> Iterator[bytes]:
        """What the engine has kept of the output of a container, in frames, cut anywhere.

        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerLogs

        Args:
            container: One without a terminal. One that is being removed is missing.
            parameters: ``follow``, ``timestamps``, ``since``, ``tail``.
        """
        query: dict[str, object] = {"stdout": 1, "stderr": 1, **parameters}
        try:
            with asking():
                response = self._connection.get_stream(
                    "/containers/{0}/logs", container, query=query
                )
        except Refused as error:
            if error.is_conflict:  # its removal is in progress
                raise NotThere(error.message, error.status) from error
            raise
        with asking(), response:
            yield from iter(lambda: response.raw.read1(_LOG_BYTES), b"")

    def attach(self, container: str) -> RawStream:
        """The output of a container from now on, in frames. It must have no terminal."""
        query = "stdout=1&stderr=1&stream=1"
        return RawStream(self._connection, f"/containers/{quote(container)}/attach?{query}")

    def execute(self, container: str, command: Sequence[str]) -> RawStream:
        """Run a program in a container beside its own; gives its standard output, in frames."""
        with asking():
            execution = self._api.exec_create(container, list(command), stderr=False)
        path = f"/exec/{execution['Id']}/start"
        return RawStream(self._connection, path, {"Detach": False, "Tty": False})

    @asking()
    def statistics(self, container: str) -> dict[str, Any]:
        """One reading of what a container uses, at once.

        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerStats
        """
        query = {"stream": "false", "one-shot": "true"}
        return dict(self._connection.get("/containers/{0}/stats", container, query=query))


def _unpack(archive: tarfile.TarFile, target: Path) -> None:
    """Write the files of a folder's tar, without the name of that folder."""
    for member in archive:
        inside = PurePosixPath(member.name).parts[1:]
        content = archive.extractfile(member) if member.isreg() else None
        if content is None or ".." in inside:
            continue
        file = target.joinpath(*inside)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:
            shutil.copyfileobj(content, opened)


def variables_in(inspected: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables of an image or a container, as the engine describes it."""
    config = inspected.get("Config") or {}
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
