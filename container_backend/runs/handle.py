"""A submitted run: waited for, asked, cancelled and read, from whatever process and machine."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Final

from docker.errors import NotFound

from container_backend.container import (
    FINISHED,
    TERMINAL,
    Ending,
    cancel_program,
    follower_of,
    gathered,
    inspect_container,
    outcome_at,
)
from container_backend.engine import ENGINE_ERRORS, connect
from container_backend.errors import TrackingUnreachable
from container_backend.runs.ending import Finished, finish_run, may_retry, outcome_in, run_error
from container_backend.runs.ledger import ensure_supervisor, ledger_of
from container_backend.runs.output import read_output
from container_backend.store import SubmittedRun, kept_output, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.container import Followed, RunContainer
    from container_backend.engine import Engine, EngineHost
    from container_backend.store import Store, StoredRun

# Who started it, or the supervisor, has this long to write down the end.
_PATIENCE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.2


class ContainerRun(SubmittedRun):
    """A run on an engine. It comes to its end whether or not anybody holds this object."""

    def __init__(
        self, host: EngineHost, tracking_uri: str, run_id: str, container_id: str | None
    ) -> None:
        """Nothing is asked yet.

        Args:
            host: Where its container is, or was.
            tracking_uri: Of the run.
            run_id: Of the run.
            container_id: Of its container; None where there is none any more.
        """
        super().__init__()
        self._host = host
        self._tracking_uri = tracking_uri
        self._run_id = run_id
        self._container_id = container_id

    @property
    def run_id(self) -> str:
        """The id of the MLflow run."""
        return self._run_id

    @property
    def container_id(self) -> str | None:
        """The id of the container; None where there was none when this was made."""
        return self._container_id

    @property
    def tracking_uri(self) -> str:
        """The address of the run's tracking store; may hold credentials."""
        return self._tracking_uri

    def get_status(self) -> str:
        """RUNNING, FINISHED, FAILED or KILLED: MLflow's strings, as the tracking store has them."""
        return self._run().status

    def wait(self) -> bool:
        """Wait until the run has ended and its status is written. Whether it finished well.

        Raises:
            EngineUnavailable: The engine does not answer.
            TrackingUnreachable: The tracking store does not.
        """
        return self._await_status() == FINISHED

    def result(self) -> None:
        """Wait, and raise if the run did not finish.

        Raises:
            RunFailed: The program failed.
            RunKilled: The run was cancelled.
        """
        if self.wait():
            return
        finished = Finished(outcome_in(self._run()), tuple(self._last_lines()))
        raise run_error(self._run_id, finished)

    def cancel(self, grace: float | None = None) -> None:
        """End the program: its stop signal, the grace period, SIGKILL. Returns when it has ended.

        Args:
            grace: Seconds; those of the backend config by default.
        """
        if self._container_id is None:
            return
        engine = connect(self._host)
        try:
            cancel_program(engine, self._container_id, grace)
        finally:
            engine.close()
        self.wait()

    def logs(
        self, *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> Iterator[bytes]:
        """What the program has written, in pieces; without the secrets that it was handed.

        Args:
            follow: Whether to go on until it has ended.
            since: Seconds since 1970: what was written before is left out.
            tail: How many lines at the end; all by default.
        """
        if self._container_id is not None:
            engine = connect(self._host)
            try:
                found = inspect_container(engine, self._container_id)
                if found is not None:
                    for chunk in read_output(engine, found, follow=follow, since=since, tail=tail):
                        yield chunk.data
                    return
            except NotFound:  # its run has ended just now
                pass
            finally:
                engine.close()
        yield from kept_output(self._store, self._run_id, since=since, tail=tail)

    def _last_lines(self) -> list[str]:
        from container_backend.runs.ending import LAST_LINES
        from container_backend.runs.output import last_lines

        try:
            return last_lines(b"".join(self.logs(tail=LAST_LINES)), LAST_LINES)
        except Exception:  # noqa: BLE001 the artifact store's own kind; the failure itself is said
            return []

    @cached_property
    def _store(self) -> Store:
        return open_store(self._tracking_uri)

    def _run(self) -> StoredRun:
        run = self._store.find_run(self._run_id)
        if run is None:
            raise TrackingUnreachable(
                f"The run '{self._run_id}' is not in its tracking store.",
                remedy="Check MLFLOW_TRACKING_URI.",
            )
        return run

    def _await_status(self) -> str:
        status = self.get_status()
        if status in TERMINAL or self._container_id is None:
            return status
        ensure_supervisor(self._host)
        engine = connect(self._host)
        follower = follower_of(self._host)
        followed = follower.follow(self._container_id)
        try:
            while True:
                found = _await_end(engine, followed)
                if (status := self._await_written()) in TERMINAL:
                    return status
                self._finish_if_left(engine, found, followed)
        finally:
            follower.leave(followed)
            engine.close()

    def _await_written(self) -> str:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (status := self.get_status()) not in TERMINAL and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
        return status

    def _finish_if_left(
        self, engine: Engine, found: RunContainer | None, followed: Followed
    ) -> None:
        """Nobody else does: the supervisor is another machine's, or another user's, and not there."""
        entry = ledger_of(self._host).entry(found.submission if found else self._run_id)
        note = entry.read()
        if note and time.time() < note.resumes + _PATIENCE_SECONDS:
            return  # what has ended is the attempt before
        attempts = note.attempts if note else 1
        signs = gathered(engine, found, followed.signs)
        ending = Ending(self._run_id, found, found is None, signs, attempts)
        if found is not None and may_retry(found, outcome_at(ending), attempts):
            return  # it is about to be started again
        with entry.lock() as lock:
            if lock.try_to_own() and _is_as_seen(engine, found):
                finish_run(ending, engine, self._store, entry)


def _is_as_seen(engine: Engine, found: RunContainer | None) -> bool:
    """False for a container that was started again meanwhile, or put away by another process."""
    try:
        return found is None or inspect_container(engine, found.id) == found
    except ENGINE_ERRORS:
        return False


def _await_end(engine: Engine, followed: Followed) -> RunContainer | None:
    """The container when its program has ended; None where it is gone."""
    while True:
        try:
            found = inspect_container(engine, followed.container_id)
        except ENGINE_ERRORS:
            time.sleep(1)
            continue
        if found is None or found.has_ended or not found.is_ours_to_finish:
            return found
        followed.wait(_LOOK_SECONDS)
