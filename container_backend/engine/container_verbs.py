"""Requests about containers and their networks: each method is one request."""

from __future__ import annotations

import io
import logging
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

_logger = logging.getLogger(__package__)
_LOG_BYTES: Final = 1024 * 1024
# A full disk has room for what is smaller: for the record of a run.
_MOST_IN_MEMORY: Final = 16 * 1024 * 1024
# Lists of packages of a big image have a few megabytes.
_MOST_OF_A_FILE: Final = 256 * 1024 * 1024


class Containers:
    """The containers of an engine, by id or name.

    Each method raises :class:`NotThere` for a missing container, :class:`Refused` for another error
    of the engine, and :class:`EngineUnavailable` for no answer.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._api = connection.questions

    @asking()
    def create(
        self, image: str, *, host_config: Mapping[str, Any] | None = None, **options: object
    ) -> str:
        """Create a container; returns its id.

        Args:
            host_config: Keyword arguments of the SDK's ``create_host_config``.
            options: Keyword arguments of the SDK's ``create_container``.
        """
        if host_config is not None:
            options["host_config"] = self._api.create_host_config(**host_config)
        return str(self._api.create_container(image, **options)["Id"])

    @asking()
    def start(self, container: str) -> None:
        """Start a container, also again after its program ended."""
        self._api.start(container)

    @asking()
    def wait(self, container: str, seconds: float) -> int:
        """Wait for the end of a program, for at most so many seconds; returns its exit code."""
        return int(self._api.wait(container, timeout=seconds)["StatusCode"])

    def stop(self, container: str, seconds: float | None = None) -> None:
        """Send a program its stop signal and wait until it has ended; a missing container is fine.

        Args:
            seconds: Seconds before SIGKILL; by default those of the container.
        """
        timeout = None if seconds is None else math.ceil(seconds)
        with suppress(NotThere), asking():
            self._connection.streams.stop(container, timeout=timeout)

    def rename(self, container: str, name: str) -> bool:
        """Rename a container; False if it is missing or keeps another name."""
        with suppress(Refused), asking():
            self._api.rename(container, name)
            return True
        try:  # another process may have renamed the container
            return str(self.inspect(container)["Name"]) == f"/{name}"
        except NotThere:
            return False

    def remove(self, container: str) -> None:
        """Remove a container, running or not; a missing container is fine."""
        try:
            with suppress(NotThere), asking():
                self._api.remove_container(container, force=True, v=True)
        except Refused as error:
            if not error.is_conflict:  # another process is removing the container
                raise

    def give_up(self, container: str) -> None:
        """As :meth:`remove`, but raises no error that would hide an earlier one."""
        with suppress(EngineError):
            self.remove(container)

    @asking()
    def inspect(self, container: str) -> dict[str, Any]:
        return dict(self._api.inspect_container(container))

    @asking()
    def find(self, *labels: str) -> list[dict[str, Any]]:
        """Summaries of containers, running or not, with all labels: ``name`` or ``name=value``."""
        filters = {"label": [*labels]}
        return [dict(each) for each in self._api.containers(all=True, filters=filters)]

    def read_file(self, container: str, path: str) -> bytes | None:
        """The content of a file in a container, running or not.

        None for a missing file, for what is no file, and for a file that is too big to be one of ours.
        """
        packed = bytearray()
        for chunk in self._archive(container, path):
            packed += chunk
            if len(packed) > _MOST_OF_A_FILE:
                return None
        if not packed:
            return None
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            member = archive.next()
            file = archive.extractfile(member) if member and member.isreg() else None
            return file.read() if file else None

    def copy_folder(self, container: str, path: str, target: Path, most: int | None = None) -> None:
        """Copy the files, but no links, of a container's folder; a missing folder is fine.

        Args:
            most: Nothing of a folder with more bytes is copied.
        """
        with tempfile.SpooledTemporaryFile(_MOST_IN_MEMORY) as packed:
            for chunk in self._archive(container, path):
                packed.write(chunk)
                if most is not None and packed.tell() > most:
                    _logger.warning("The folder %s of the container is too big, and left out", path)
                    return
            if not packed.tell():
                return
            packed.seek(0)
            with tarfile.open(fileobj=packed) as archive:
                _unpack(archive, target)

    def _archive(self, container: str, path: str) -> Iterator[bytes]:
        """The tar of a path in pieces; no piece if the path is missing."""
        with suppress(NotThere), asking():
            chunks, _ = self._api.get_archive(container, path)
            yield from chunks

    @asking()
    def has_path(self, container: str, path: str) -> bool:
        """True if a container has a file or folder."""
        return self._connection.has("/containers/{0}/archive", container, query={"path": path})

    def put_archive(self, container: str, path: str, packed: IO[bytes]) -> None:
        """Unpack a tar in a folder of a container; raises OSError if the tar cannot be read."""
        with sending(packed) as file:
            self._api.put_archive(container, path, file)

    def logs(self, container: str, **parameters: str | int | None) -> Iterator[bytes]:
        """The log of a container without a terminal, in frames, cut anywhere.

        Args:
            parameters: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerLogs
        """
        query: dict[str, object] = {"stdout": 1, "stderr": 1, **parameters}
        path = "/containers/{0}/logs"
        try:
            with asking():
                response = self._connection.get_stream(path, container, query=query)
        except Refused as error:
            if error.is_conflict:  # the removal of the container is in progress
                raise NotThere(error.message, error.status) from error
            raise
        with asking(), response:
            yield from iter(lambda: response.raw.read1(_LOG_BYTES), b"")

    def attach(self, container: str) -> RawStream:
        """The output of a container without a terminal from now on, in frames."""
        query = "stdout=1&stderr=1&stream=1"
        return RawStream(self._connection, f"/containers/{quote(container)}/attach?{query}")

    def execute(
        self, container: str, command: Sequence[str], *, takes_input: bool = False
    ) -> RawStream:
        """Run a second program in a container; returns its standard output, in frames."""
        with asking():
            execution = self._api.exec_create(
                container, list(command), stderr=False, stdin=takes_input
            )
        path = f"/exec/{execution['Id']}/start"
        return RawStream(self._connection, path, {"Detach": False, "Tty": False})

    @asking()
    def statistics(self, container: str) -> dict[str, Any]:
        """One reading of the resources that a container uses, without waiting.

        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerStats
        """
        query = {"stream": "false", "one-shot": "true"}
        return dict(self._connection.get("/containers/{0}/stats", container, query=query))


class Networks:
    """The networks of an engine. Errors are those of :class:`Containers`."""

    def __init__(self, connection: Connection) -> None:
        self._api = connection.questions

    @asking()
    def inspect(self, network: str) -> dict[str, Any]:
        return dict(self._api.inspect_network(network))


class Volumes:
    """The volumes of an engine. Errors are those of :class:`Containers`."""

    def __init__(self, connection: Connection) -> None:
        self._api = connection.questions

    @asking()
    def create(self, name: str, labels: Mapping[str, str]) -> None:
        """Create a volume; one of the same name is fine."""
        self._api.create_volume(name, labels=dict(labels))

    def has(self, name: str) -> bool:
        try:
            with asking():
                self._api.inspect_volume(name)
        except NotThere:
            return False
        return True

    @asking()
    def find(self, *labels: str) -> list[str]:
        """The names of volumes with all labels: ``name`` or ``name=value``."""
        found = self._api.volumes(filters={"label": [*labels]})
        return [str(each["Name"]) for each in found.get("Volumes") or ()]

    def remove(self, name: str) -> bool:
        """Remove a volume that no container has; a missing one is fine. False if one has it."""
        try:
            with suppress(NotThere), asking():
                self._api.remove_volume(name)
        except Refused as error:
            if not error.is_conflict:
                raise
            return False
        return True


def _unpack(archive: tarfile.TarFile, target: Path) -> None:
    """Write the files of a folder's tar; their paths do not begin with the folder's name."""
    for member in archive:
        inside = PurePosixPath(member.name).parts[1:]
        content = archive.extractfile(member) if member.isreg() else None
        if content is None or ".." in inside:
            continue
        file = target.joinpath(*inside)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:
            shutil.copyfileobj(content, opened)


def labels_in(inspected: Mapping[str, Any]) -> dict[str, str]:
    """The labels of an inspected image."""
    return dict((inspected.get("Config") or {}).get("Labels") or {})


def variables_in(inspected: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables of an inspected image or container."""
    config = inspected.get("Config") or {}
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
