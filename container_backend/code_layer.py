"""A project's files → the layer of its image. The same files make the same layer, wherever."""

from __future__ import annotations

import stat
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from container_backend.code import (
    FOR_EVERYBODY,
    LAUNCHER,
    ROOT,
    add_files,
    add_text,
    folder_entry,
    unreadable,
)
from container_backend.content import hash_file
from container_backend.names import (
    CODE_DIRECTORY,
    HOME_DIRECTORY,
    LAUNCHER_DIRECTORY,
    RESULTS_DIRECTORY,
    RUNNER_DIRECTORY,
)
from container_backend.runner.main import DESCRIPTION
from container_backend.runner.results import ARTIFACTS
from container_backend.template import read_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.content import FileContent

# 1980: what zip files can say at the least, and so what programs expect.
_TIME: Final = 315_532_800
# Where MLflow's own docker runs put a store (mlflow.projects.docker), and its journal beside it.
_MLFLOW_FOLDER: Final = "/mlflow/tmp"
# Where MLflow puts the artifacts of a database that nobody chose a place for.
_ARTIFACTS_LINK: Final = f"{CODE_DIRECTORY}/mlruns"


class _Layer(tarfile.TarFile):
    """A tar in which nothing depends on who made it, when, and with which umask."""

    def addfile(self, tarinfo: tarfile.TarInfo, fileobj: Any = None) -> None:  # noqa: ANN401
        tarinfo.mtime = _TIME
        if tarinfo.mode != FOR_EVERYBODY and tarinfo.name.startswith(CODE_DIRECTORY.lstrip("/")):
            runs = tarinfo.isdir() or tarinfo.mode & stat.S_IXUSR
            tarinfo.mode = 0o777 if runs else 0o666
        super().addfile(tarinfo, fileobj)


@contextmanager
def code_layer(directory: Path, description: str) -> Iterator[FileContent]:
    """A tar of a project's files and what the runner is to know of it, to be unpacked at ``/``.

    Files and folders of the project may be written by everybody: the program runs as any user.

    Args:
        directory: The project.
        description: For the runner.

    Returns:
        The tar, on disk while the context lasts.

    Raises:
        InvalidProject: A file cannot be read.
    """
    with tempfile.NamedTemporaryFile(prefix="container-backend-", suffix=".tar") as file:
        try:
            _write(file, directory, description)
            file.flush()
            content = hash_file(Path(file.name))
        except OSError as error:
            raise unreadable(directory, error) from error
        yield content


def _write(file: IO[bytes], directory: Path, description: str) -> None:
    with _Layer.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for parent in reversed(PurePosixPath(CODE_DIRECTORY).parents[:-1]):
            tar.addfile(folder_entry(str(parent), ROOT))
        tar.addfile(folder_entry(CODE_DIRECTORY, ROOT))
        tar.addfile(folder_entry(LAUNCHER_DIRECTORY, ROOT))
        add_text(tar, f"{LAUNCHER_DIRECTORY}/{LAUNCHER}", read_template(LAUNCHER))
        add_text(tar, f"{RUNNER_DIRECTORY}/{DESCRIPTION}", description)
        for folder in (HOME_DIRECTORY, RESULTS_DIRECTORY, ARTIFACTS, _MLFLOW_FOLDER):
            tar.addfile(folder_entry(folder, ROOT, FOR_EVERYBODY))
        add_files(tar, directory, ROOT)
        link = tarfile.TarInfo(_ARTIFACTS_LINK.lstrip("/"))
        if link.name not in tar.getnames():
            link.type, link.linkname = tarfile.SYMTYPE, ARTIFACTS
            tar.addfile(link)
