"""Artifacts of a run in a folder of this machine, without an import of MLflow."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, NamedTuple

from container_backend.store.client.files import list_folder, new_file, open_file

if TYPE_CHECKING:
    from collections.abc import Iterator


class LocalArtifact(NamedTuple):
    """``path`` is relative to the artifacts of the run."""

    path: str


class LocalArtifacts:
    """The artifacts below a folder, which may be missing, with verbs of MLflow's ``ArtifactRepository``.

    Methods raise OSError, also for a path through a link: a program may have made one.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def log_artifact(self, local_file: str, artifact_path: str) -> None:
        with Path(local_file).open("rb") as content:
            self.write(content, f"{artifact_path}/{Path(local_file).name}")

    def list_artifacts(self, path: str) -> list[LocalArtifact]:
        """Files and folders in a folder, which may be missing."""
        return [
            LocalArtifact(str(PurePosixPath(path, each.path)))
            for each in list_folder(self._root, path)
        ]

    def download_artifacts(self, artifact_path: str, dst_path: str) -> str:
        """Copy a file, or a folder with all that is in it, to its path below a folder."""
        for path in self._files(artifact_path):
            target = Path(dst_path, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_file(self._root, path) as content, target.open("wb") as copy:
                shutil.copyfileobj(content, copy)
        return str(Path(dst_path, artifact_path))

    def _files(self, path: str) -> Iterator[str]:
        """A path, or those of the files in a folder, at any depth."""
        inside = list_folder(self._root, path)
        if not inside:
            yield path
        for each in inside:
            inner = str(PurePosixPath(path, each.path))
            if each.size is None:
                yield from self._files(inner)
            else:
                yield inner

    def write(self, content: IO[bytes], path: str) -> None:
        """Write the rest of an open file to a path among the artifacts."""
        with new_file(self._root, path) as out:
            shutil.copyfileobj(content, out)
