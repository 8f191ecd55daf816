"""The artifacts of a run: its record, its environment, its output."""

from __future__ import annotations

import io
import mmap
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from container_backend.environment import LOCK, LOCK_IN_IMAGE
from container_backend.errors import InvalidInput, TrackingUnreachable
from container_backend.image import SBOM, SBOM_IN_IMAGE
from container_backend.labels_and_tags import RECORD_DIRECTORY, TEMPORARY_PREFIX
from container_backend.machine import digest_of_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container_backend.engine import Engine
    from container_backend.store.client import Store
    from container_backend.store.run import RunRecord

FOLDER: Final = "environment"
LOG_FOLDER: Final = "logs"
LOG: Final = "container.log"
OUTPUT: Final = f"{LOG_FOLDER}/{LOG}"
RUN: Final = "record/run.json"
CODE: Final = "record/code.tar.gz"
_CHUNK_BYTES: Final = 1024 * 1024
# Files of an environment image: path among the artifacts → path in the image.
_OF_IMAGE: Final = {f"{FOLDER}/{LOCK}": LOCK_IN_IMAGE, f"{FOLDER}/{SBOM}": SBOM_IN_IMAGE}
# Files of a container's record folder, by their paths among the artifacts.
DOCKERFILE: Final = "environment/Dockerfile"
CONTEXT: Final = "environment/build-context.tar.gz"
_RECORDED: Final = (DOCKERFILE, CONTEXT, CODE)
_MOST_IMAGES: Final = 64
_IMAGES: dict[str, dict[str, bytes]] = {}


def log_environment(
    engine: Engine,
    record: RunRecord,
    container: str,
    recorded: str,
    files: Mapping[str, IO[bytes]] | None = None,
    image_id: str = "",
    digests: Mapping[str, str] | None = None,
    most: int | None = None,
) -> None:
    """Log the record of a run, and the lock and bill of materials of its image.

    Args:
        container: The id of a container that still exists.
        recorded: The record; empty if the container's record folder has it.
        files: Path among the artifacts → content; None to read the container's record folder.
        image_id: The image of the container, if known: each process reads its files only once.
        digests: Path → digest of the files in the record folder, as noted before the start: a
            program may have changed them, and made others. None if no process noted them.
        most: How many bytes are read from the record folder; None for any number.

    Raises:
        Exception: An error of the artifact store or the engine.
    """
    added = _files_of_image(engine, container, image_id)
    if recorded:
        added = {**added, RUN: recorded.encode()}
    contents = {**(files or {}), **{path: io.BytesIO(data) for path, data in added.items()}}
    with ExitStack() as closing:
        if files is None:
            folder = closing.enter_context(tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX))
            engine.containers.copy_folder(container, RECORD_DIRECTORY, Path(folder), most)
            for path in _recorded(Path(folder), digests):
                contents.setdefault(
                    str(path.relative_to(folder)), closing.enter_context(path.open("rb"))
                )
        record.store.log_files(record.run, contents)


def _recorded(folder: Path, digests: Mapping[str, str] | None) -> Iterator[Path]:
    """The files that are as noted; without digests, those of their names."""
    for path in (folder / name for name in _RECORDED):
        name = str(path.relative_to(folder))
        if path.is_file() and (digests is None or _digest(path) == digests.get(name)):
            yield path


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return digest_of_file(content)


def _files_of_image(engine: Engine, container: str, image_id: str) -> dict[str, bytes]:
    if image_id in _IMAGES:
        return _IMAGES[image_id]
    read = {name: engine.containers.read_file(container, path) for name, path in _OF_IMAGE.items()}
    found = {name: data for name, data in read.items() if data is not None}
    if image_id:
        if len(_IMAGES) >= _MOST_IMAGES:
            _IMAGES.clear()
        _IMAGES[image_id] = found
    return found


def kept_output(
    store: Store, run_id: str, *, since: float | None = None, tail: int | None = None
) -> Iterator[bytes]:
    """The output among the artifacts of a run, in pieces.

    Args:
        since: Refused, because kept output has no times.
        tail: Number of lines at the end; default: all.

    Raises:
        InvalidInput: ``since`` is given.
        TrackingUnreachable: There is no output, or the store does not answer.
    """
    if since is not None:
        raise InvalidInput(
            f"The container of run '{run_id}' is gone, and its kept output has no times.",
            remedy="Leave out --since, or give --tail.",
        )
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as folder:
        try:
            run = store.find_run(run_id)
            if run is None:
                raise FileNotFoundError("there is no such run")
            path = store.download(run, OUTPUT, folder)
        except Exception as error:  # each artifact store raises its own kind
            raise TrackingUnreachable(
                f"The run '{run_id}' has no {OUTPUT} among its artifacts: {error}"
            ) from error
        with path.open("rb") as file:
            if tail is not None:
                file.seek(_start_of_last(path, tail))
            yield from iter(lambda: file.read(_CHUNK_BYTES), b"")


def _start_of_last(path: Path, lines: int) -> int:
    """The position in bytes where the last lines of a file begin."""
    size = path.stat().st_size
    if not (size and lines):
        return size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = size - 1 if data[-1:] == b"\n" else size
        for _ in range(lines):
            at = data.rfind(b"\n", 0, at)
            if at < 0:
                return 0
    return at + 1
