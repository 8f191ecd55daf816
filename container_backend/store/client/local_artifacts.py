"""Artifacts of a run in a folder of this machine, without an import of MLflow.

The verbs are those of MLflow's ``ArtifactRepository``. A program may have made links there: nothing is
written or read through one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# MLflow leaves files of this name out of its lists: a process that was killed may leave one.
_TEMPORARY: Final = ".artifact.uploading."


class LocalArtifact(NamedTuple):
    """``path`` is relative to the artifacts of the run."""

    path: str


class LocalArtifacts:
    """The artifacts of a run below a folder, which may be missing. Methods raise OSError."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def log_artifact(self, local_file: str, artifact_path: str) -> None:
        file = Path(local_file)
        self._write(file, f"{artifact_path}/{file.name}")

    def log_artifacts(self, local_dir: str) -> None:
        for file in _files_in(Path(local_dir)):
            self._write(file, str(file.relative_to(local_dir)))

    def list_artifacts(self, path: str) -> list[LocalArtifact]:
        """Files and folders in a folder, which may be missing."""
        try:
            names = sorted(each.name for each in self._path(path).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [
            LocalArtifact(str(PurePosixPath(path, name)))
            for name in names
            if not name.startswith(_TEMPORARY)
        ]

    def download_artifacts(self, artifact_path: str, dst_path: str) -> str:
        """Copy a file or a folder into a folder, at its path."""
        source, target = self._path(artifact_path), Path(dst_path, artifact_path)
        for file in _files_in(source) if source.is_dir() else [source]:
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._path(str(file.relative_to(self._root))), copy)
        return str(target)

    def _write(self, file: Path, path: str) -> None:
        """Write a file at once: a reader sees nothing or all."""
        target = self._path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_TEMPORARY)
        try:
            with os.fdopen(handle, "wb") as out, file.open("rb") as content:
                shutil.copyfileobj(content, out)
            shutil.copystat(file, name)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink()
            raise

    def _path(self, path: str) -> Path:
        """The place of an artifact. Raises OSError if a link leads there.

        STORE/EXPERIMENT/RUN/artifacts: the store itself may be a link of the user's.
        """
        below = self._root / path
        for each in {below, *below.parents} - set(self._root.parents[2:]):
            if each.is_symlink():
                raise OSError(f"'{each}' is a link, which is not followed")
        return below


def _files_in(folder: Path) -> Iterator[Path]:
    """The files at any depth; links are left out."""
    for path, _, names in os.walk(folder):
        yield from (Path(path, name) for name in names if not Path(path, name).is_symlink())
