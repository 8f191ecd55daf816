"""A run of before, as the tracking store has it: what it was made of, and what came of it."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils import mlflow_tags

from container_backend import naming
from container_backend.container import TERMINAL
from container_backend.environment import LOCK
from container_backend.errors import InvalidInput, NotRepeatable, TrackingUnreachable
from container_backend.runs import CONTEXT, Recorded, attach, read_recorded
from container_backend.store import CODE, FOLDER, RUN, download_artifact, reaching

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlflow.entities import Run

_LOCK: Final = f"{FOLDER}/{LOCK}"


@dataclass(frozen=True)
class PastRun:
    """A run of ours.

    Attributes:
        client: Of its store.
        tracking_uri: Of its store; may hold credentials.
        run: As the store has it.
    """

    client: MlflowClient
    tracking_uri: str
    run: Run

    @property
    def run_id(self) -> str:
        """Its id."""
        return str(self.run.info.run_id)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.run.info.run_name or "")

    @property
    def experiment_id(self) -> str:
        """Where it is."""
        return str(self.run.info.experiment_id)

    @property
    def tags(self) -> Mapping[str, str]:
        """All of them."""
        return dict(self.run.data.tags)

    @property
    def image_id(self) -> str:
        """The id of its image; empty where it came to none."""
        return self.tags.get(mlflow_tags.MLFLOW_DOCKER_IMAGE_ID, "")

    @cached_property
    def recorded(self) -> Recorded:
        """What was asked for.

        Raises:
            NotRepeatable: That is not among its artifacts, or cannot be read.
        """
        text = self.read(RUN)
        if text is None:
            ended = self.run.info.status in TERMINAL
            raise NotRepeatable(
                f"The run '{self.run_id}' has no '{RUN}' among its artifacts, which says what it "
                "was made of"
                + (": it was removed, could not be written, or is older than that." if ended else
                   f" (it is {self.run.info.status}: it may come yet)."),
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
                there = {each.path for each in self.client.list_artifacts(self.run_id, folder)}
                if path not in there:
                    raise FileNotFoundError(f"'{path}' is not among the artifacts")
                file = Path(download_artifact(self.client, self.run_id, path, temporary))
            except FileNotFoundError:
                raise
            except Exception as error:
                # Each of MLflow's artifact stores raises its own kind.
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
    client = MlflowClient(attached.tracking_uri)
    with reaching(attached.tracking_uri):
        try:
            run = client.get_run(attached.run_id)
        except MlflowException as error:
            raise InvalidInput(f"There is no run '{attached.run_id}': {error}") from error
    if not any(name.startswith(naming.TAG_PREFIX) for name in run.data.tags):
        raise InvalidInput(
            f"The run '{attached.run_id}' was not made by container-backend: what it ran in was "
            "not written down."
        )
    return PastRun(client, attached.tracking_uri, run)
