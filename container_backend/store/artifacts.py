"""What a run can be repeated from, among its artifacts: how it was built and what was installed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from container_backend.environment import LOCK, LOCK_IN_IMAGE
from container_backend.errors import InvalidInput, TrackingUnreachable
from container_backend.image import SBOM, SBOM_IN_IMAGE
from container_backend.labels_and_tags import RECORD_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container_backend.engine import Engine
    from container_backend.store.client import Store
    from container_backend.store.run import RunRecord

FOLDER: Final = "environment"
# Files of an environment image: name among the artifacts → path in it.
_OF_IMAGE: Final = {f"{FOLDER}/{LOCK}": LOCK_IN_IMAGE, f"{FOLDER}/{SBOM}": SBOM_IN_IMAGE}
_MOST_IMAGES: Final = 64
_IMAGES: dict[str, dict[str, bytes]] = {}


def log_environment(
    engine: Engine,
    record: RunRecord,
    container: str,
    recorded: str,
    files: Mapping[str, IO[bytes]] | None = None,
    image_id: str = "",
) -> None:
    """Log what is in a container's image, and the files that were put beside the code.

    Args:
        engine: Where the container is.
        record: Whose artifacts.
        container: Not removed yet; by id.
        recorded: What is written down of the run; empty where that is beside the code as well.
        files: Path among the artifacts → content, where they are at hand.
        image_id: Of the container, where it is known: its files are read once by a process.

    Raises:
        Exception: Of the artifact store's own kind, or of the engine's.
    """
    with tempfile.TemporaryDirectory(prefix="container-backend-") as temporary:
        folder = Path(temporary)
        for path, content in (files or {}).items():
            target = folder / path
            target.parent.mkdir(exist_ok=True)
            content.seek(0)
            with target.open("wb") as file:
                shutil.copyfileobj(content, file)
        if files is None:
            engine.containers.copy_folder(container, RECORD_DIRECTORY, folder)
        if recorded:
            (folder / RUN).parent.mkdir(exist_ok=True)
            (folder / RUN).write_text(recorded, encoding="utf-8")
        for path, data in _files_of_image(engine, container, image_id).items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(data)
        record.log_artifacts(folder)


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


_CHUNK_BYTES: Final = 1024 * 1024


def kept_output(
    store: Store, run_id: str, *, since: float | None = None, tail: int | None = None
) -> Iterator[bytes]:
    """What was kept of a run's output, in pieces.

    Args:
        store: Of the run.
        run_id: The run.
        since: Kept output has no times; for the message that says so.
        tail: Lines at the end; all by default.

    Raises:
        InvalidInput: ``since`` is given.
        TrackingUnreachable: Nothing was kept, or the store does not give it.
    """
    if since is not None:
        raise InvalidInput(
            f"The container of run '{run_id}' is gone, and its kept output has no times.",
            remedy="Leave out --since, or give --tail.",
        )
    with tempfile.TemporaryDirectory(prefix="container-backend-") as folder:
        try:
            run = store.find_run(run_id)
            if run is None:
                raise FileNotFoundError("there is no such run")
            path = store.download(run, f"{LOG_FOLDER}/{LOG}", folder)
        except Exception as error:  # each artifact store raises its own kind
            raise TrackingUnreachable(
                f"The run '{run_id}' has no {LOG_FOLDER}/{LOG} among its artifacts: {error}"
            ) from error
        with path.open("rb") as file:
            if tail is not None:
                file.seek(_start_of_last(path, tail))
            yield from iter(lambda: file.read(_CHUNK_BYTES), b"")


def _start_of_last(path: Path, lines: int) -> int:
    """Where the last lines of a file begin."""
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        found, is_end = 0, True
        while at > 0:
            size = min(_CHUNK_BYTES, at)
            at -= size
            file.seek(at)
            data = file.read(size)
            end = len(data) - 1 if is_end and data.endswith(b"\n") else len(data)
            is_end = False
            while (end := data.rfind(b"\n", 0, end)) >= 0:
                found += 1
                if found == lines:
                    return at + end + 1
    return 0 if lines else path.stat().st_size


LOG_FOLDER: Final = "logs"
LOG: Final = "container.log"
# Artifacts of a run.
RUN: Final = "record/run.json"
CODE: Final = "record/code.tar.gz"
