"""An earlier run as the tracking store has it."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.container import TERMINAL
from container_backend.environment import LOCK
from container_backend.errors import InvalidInput, NotRepeatable, TrackingUnreachable
from container_backend.labels_and_tags import TEMPORARY_PREFIX
from container_backend.runs import Recorded, attach, open_store, read_recorded
from container_backend.store import CONTEXT, FOLDER, RUN, await_listener

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from container_backend.store import Store, StoredRun

_LOCK: Final = f"{FOLDER}/{LOCK}"


@dataclass(frozen=True)
class PastRun:
    """A run of this package, with its record and artifacts."""

    store: Store
    run: StoredRun

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def tags(self) -> Mapping[str, str]:
        return self.run.tags

    @property
    def image_id(self) -> str:
        """The id of the image; empty for a run that ended without one."""
        return self.tags.get(labels_and_tags.MLFLOW_IMAGE_ID, "")

    @property
    def repository_digest(self) -> str:
        """``NAME@DIGEST`` of the image; empty if no registry had the image."""
        return self.tags.get(labels_and_tags.TAG_REPOSITORY_DIGEST, "")

    @cached_property
    def recorded(self) -> Recorded:
        """The record of the run.

        Raises:
            NotRepeatable: The record is not among the artifacts, or cannot be read.
        """
        text = self.read(RUN)
        if text is None:
            ended = self.run.status in TERMINAL
            reason = (
                "The record was removed or not written, or the run is of an older version."
                if ended
                else f"The run is {self.run.status}: the record may still be written."
            )
            raise NotRepeatable(
                f"The run '{self.run_id}' has no '{RUN}' among its artifacts. {reason}"
            )
        try:
            return read_recorded(text.decode())
        except ValueError as error:
            raise NotRepeatable(
                f"The run '{self.run_id}': its artifact '{RUN}' cannot be read: {error}.",
                remedy="A newer version of this package may have written it.",
            ) from error

    @cached_property
    def lock(self) -> str | None:
        """The lock of the installed packages; None if it is missing."""
        found = self.read(_LOCK)
        return None if found is None else found.decode()

    @cached_property
    def context(self) -> bytes | None:
        """The build context, packed; None if it is missing."""
        return self.read(CONTEXT)

    def read(self, path: str) -> bytes | None:
        try:
            with self.artifact(path) as file:
                return file.read_bytes()
        except FileNotFoundError:
            return None

    @contextmanager
    def artifact(self, path: str) -> Iterator[Path]:
        """An artifact in a temporary file.

        Raises:
            FileNotFoundError: The artifact is missing.
            TrackingUnreachable: The artifact store does not answer.
        """
        folder = path.rpartition("/")[0]
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as temporary:
            try:
                if path not in self.store.artifact_paths(self.run, folder):
                    raise FileNotFoundError(f"'{path}' is not among the artifacts")
                file = self.store.download(self.run, path, temporary)
            except FileNotFoundError:
                raise
            except Exception as error:  # each artifact store raises its own kind
                raise TrackingUnreachable(
                    f"The artifact '{path}' of run '{self.run_id}' cannot be read: {error}"
                ) from error
            yield file


def find_run(prefix: str) -> PastRun:
    """Find a run by the beginning of its id.

    Raises:
        InvalidInput: There is no such run, there are several, or another tool made the run.
        TrackingUnreachable: The tracking store does not answer.
    """
    attached = attach(prefix)
    store = open_store(attached.tracking_uri)
    await_listener(store.tracking_uri)
    run = store.find_run(attached.run_id)
    if run is None:
        raise InvalidInput(f"There is no run '{attached.run_id}' in its tracking store.")
    if not any(name.startswith(labels_and_tags.TAG_PREFIX) for name in run.tags):
        raise InvalidInput(
            f"The run '{attached.run_id}' was not made by container-backend, so it has no record."
        )
    return PastRun(store, run)
