"""Verbs for one container: read a file, copy a folder, stop, rename, remove."""

from __future__ import annotations

import io
import math
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from docker.errors import APIError, DockerException, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.engine.connection import Engine


def read_file(engine: Engine, container_id: str, path: str) -> bytes | None:
    """The content of a file in a container, running or not; None where there is none.

    Raises:
        DockerException: The container is gone, or the engine.
    """
    try:
        chunks, _ = engine.client.api.get_archive(container_id, path)
    except NotFound:
        return None
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.next()
        file = archive.extractfile(member) if member is not None else None
        return file.read() if file is not None else None


def copy_folder(engine: Engine, container_id: str, path: str, target: Path) -> None:
    """Copy the files in a folder of a container; nothing where there is no such folder.

    Args:
        engine: Where the container is.
        container_id: Running or not.
        path: Of the folder; only the engine's own files are in it, and no links.
        target: A folder of this machine.

    Raises:
        DockerException: The container is gone, or the engine.
    """
    try:
        chunks, _ = engine.client.api.get_archive(container_id, path)
    except NotFound:
        return
    with tempfile.TemporaryFile() as packed:
        packed.writelines(chunks)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            for member in archive:
                inside = PurePosixPath(member.name).parts[1:]
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or ".." in inside:
                    continue
                file = target.joinpath(*inside)
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("wb") as opened:
                    shutil.copyfileobj(content, opened)


def remove(engine: Engine, container: str) -> None:
    """Remove a container, running or not, by name or id. One that is gone already is fine."""
    try:
        engine.client.api.remove_container(container, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:  # noqa: PLR2004 "removal is already in progress"
            raise


def stop(engine: Engine, container: str, seconds: float | None = None) -> None:
    """Have a program stop, with its own signal; returns when it has. One that has ended is fine.

    Args:
        engine: Where.
        container: Id or name.
        seconds: Until SIGKILL; those that the container was made with by default.
    """
    api = engine.streams.api
    with suppress(NotFound):
        api.stop(container, timeout=None if seconds is None else math.ceil(seconds))


def rename(engine: Engine, container: str, name: str) -> bool:
    """Rename a container. Whether it is there, and is called that now."""
    api = engine.client.api
    try:
        api.rename(container, name)
    except NotFound:
        return False
    except APIError:
        try:  # called that already, by somebody else at the same time
            return str(api.inspect_container(container)["Name"]) == f"/{name}"
        except NotFound:
            return False
    return True


def give_up(engine: Engine, container: str) -> None:
    """As :func:`remove`, after an error: an engine that is gone must not hide it by one more."""
    with suppress(DockerException, OSError):
        remove(engine, container)
