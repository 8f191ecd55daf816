"""What a run can be repeated from, among its artifacts: how it was built and what was installed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from container_backend.container import copy_folder, read_file
from container_backend.lock import LOCK, LOCK_IN_IMAGE
from container_backend.names import RECORD_DIRECTORY
from container_backend.recorded import RUN
from container_backend.sbom import SBOM, SBOM_IN_IMAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import Engine
    from container_backend.record import RunRecord

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
            copy_folder(engine, container, RECORD_DIRECTORY, folder)
        if recorded:
            (folder / RUN).parent.mkdir(exist_ok=True)
            (folder / RUN).write_text(recorded, encoding="utf-8")
        for path, data in _files_of_image(engine, container, image_id).items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(data)
        record.artifacts().log_artifacts(temporary)


def _files_of_image(engine: Engine, container: str, image_id: str) -> dict[str, bytes]:
    if image_id in _IMAGES:
        return _IMAGES[image_id]
    read = {name: read_file(engine, container, path) for name, path in _OF_IMAGE.items()}
    found = {name: data for name, data in read.items() if data is not None}
    if image_id:
        if len(_IMAGES) >= _MOST_IMAGES:
            _IMAGES.clear()
        _IMAGES[image_id] = found
    return found
