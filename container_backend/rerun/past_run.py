"""A run of before, as the tracking store has it: what it was made of, and what came of it."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.container import TERMINAL
from container_backend.environment import LOCK
from container_backend.errors import InvalidInput, NotRepeatable, TrackingUnreachable
from container_backend.runs import CONTEXT, Recorded, attach, read_recorded
from container_backend.store import CODE, FOLDER, RUN, Store, await_listener

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from container_backend.store import StoredRun

_LOCK: Final = f"{FOLDER}/{LOCK}"


@dataclass(frozen=True)
class PastRun:
    """A run of ours, as its store has it."""

    store: Store
    run: StoredRun

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.run.run_id

    @property
    def tags(self) -> Mapping[str, str]:
        """All tags of the run."""
        return self.run.tags

    @property
    def image_id(self) -> str:
        """The id of its image; empty where it came to none."""
        return self.tags.get(labels_and_tags.MLFLOW_IMAGE_ID, "")

    @cached_property
    def recorded(self) -> Recorded:
        """What was asked for.

        Raises:
            NotRepeatable: That is not among its artifacts, or cannot be read.
        """
        text = self.read(RUN)
        if text is None:
            ended = self.run.status in TERMINAL
            raise NotRepeatable(
                f"The run '{self.run_id}' has no '{RUN}' among its artifacts, which says what it "
                "was made of"
                + (": it was removed, could not be written, or is older than that." if ended else
                   f" (it is {self.run.status}: it may come yet)."),
            )  # fmt: skip
        try:
            return read_recorded(text.decode())
        except ValueError as error:
            raise NotRepeatable(
                f"The run '{self.run_id}': its artifact '{RUN}' cannot be read: {error}.",
                remedy="It may be of a newer version of this package.",
            ) from error

    def lock(self) -> str | None:
        """What was installed; None where that is not there."""
        found = self.read(_LOCK)
        return None if found is None else found.decode()

    def context(self) -> bytes | None:
        """The build context, packed; None where it is not there."""
        return self.read(CONTEXT)

    @contextmanager
    def code(self) -> Iterator[IO[bytes]]:
        """The code, packed.

        Raises:
            OSError: It is not there.
        """
        with self._downloaded(CODE) as file, file.open("rb") as opened:
            yield opened

    def read(self, path: str) -> bytes | None:
        """An artifact; None where it is not there."""
        try:
            with self._downloaded(path) as file:
                return file.read_bytes()
        except FileNotFoundError:
            return None

    @contextmanager
    def _downloaded(self, path: str) -> Iterator[Path]:
        """An artifact on this disk.

        Raises:
            FileNotFoundError: It is not there.
            TrackingUnreachable: The artifact store does not give it.
        """
        folder = path.rpartition("/")[0]
        with tempfile.TemporaryDirectory(prefix="container-backend-") as temporary:
            try:
                if path not in self.store.artifact_paths(self.run, folder):
                    raise FileNotFoundError(f"'{path}' is not among the artifacts")
                file = self.store.download(self.run, path, temporary)
            except FileNotFoundError:
                raise
            except Exception as error:
                # Each artifact store raises its own kind.
                raise TrackingUnreachable(
                    f"The artifact '{path}' of run '{self.run_id}' cannot be read: {error}"
                ) from error
            yield file


def find_run(prefix: str) -> PastRun:
    """A run of ours, by the beginning of its id.

    Raises:
        InvalidInput: There is no such run, there are several, or it is none of ours.
        TrackingUnreachable: The tracking store does not answer.
    """
    attached = attach(prefix)
    await_listener(attached.tracking_uri)
    store = Store(attached.tracking_uri)
    run = store.find_run(attached.run_id)
    if run is None:
        raise InvalidInput(f"There is no run '{attached.run_id}' in its tracking store.")
    if not any(name.startswith(labels_and_tags.TAG_PREFIX) for name in run.tags):
        raise InvalidInput(
            f"The run '{attached.run_id}' was not made by container-backend: what it ran in was "
            "not written down."
        )
    return PastRun(store, run)
