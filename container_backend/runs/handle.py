"""The handle of a run: wait, cancel and read the output, from any process and machine."""

from __future__ import annotations

import math
import threading
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from container_backend.container import (
    FINISHED,
    TERMINAL,
    cancel_program,
    follower_of,
    gathered,
    inspect_container,
)
from container_backend.engine import connect
from container_backend.errors import EngineError, NotThere, TrackingUnreachable
from container_backend.runs.ending import (
    LAST_LINES,
    Finished,
    Hold,
    Seen,
    Wait,
    decide,
    finish_run,
    outcome_in,
    run_error,
)
from container_backend.runs.ledger import ensure_supervisor, ledger_of
from container_backend.runs.output import last_lines, read_output
from container_backend.runs.tracking import open_store
from container_backend.store import kept_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container_backend.container import Followed, RunContainer
    from container_backend.engine import Engine, EngineHost
    from container_backend.runs.ledger import Entry
    from container_backend.store import Store, StoredRun

# The container is inspected this often even if no event comes.
_LOOK_SECONDS: Final = 30.0
# After the end of the program, the status is read this often.
_PAUSE_SECONDS: Final = 0.2
# The pause after a read, in multiples of its duration, for all threads of the process.
_REST: Final = 3


class _Statuses:
    """Reads statuses of a store for all threads of this process, one at a time and with pauses.

    50 threads that each read the status of a run kept the process busy that had to write the status.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, tuple[str, float]] = {}

    def read(self, run_id: str, read: Callable[[], str]) -> str:
        """The status of a run, as it was at most a pause ago."""
        with self._lock:
            begun = time.monotonic()
            status, at = self._found.get(run_id, ("", -math.inf))
            if begun - at < _PAUSE_SECONDS:
                return status
            status = read()
            now = time.monotonic()
            self._found[run_id] = (status, now)
            for old in [each for each, (_, at) in self._found.items() if now - at > _PAUSE_SECONDS]:
                del self._found[old]
            if status not in TERMINAL:
                time.sleep(_REST * (now - begun))
            return status


# Store → its reader; threads may ask for the same one at once.
_STATUSES: Final[dict[str, _Statuses]] = {}


class ContainerRun:
    """A run on an engine. Its end is written also without this object."""

    def __init__(
        self, host: EngineHost, tracking_uri: str, run_id: str, container_id: str | None
    ) -> None:
        """``container_id`` is None if the container is missing."""
        self._host = host
        self._tracking_uri = tracking_uri
        self._run_id = run_id
        self._container_id = container_id

    @property
    def run_id(self) -> str:
        return self._run_id

    @property
    def container_id(self) -> str | None:
        """None if the container was missing when this object was made."""
        return self._container_id

    @property
    def tracking_uri(self) -> str:
        """May hold credentials."""
        return self._tracking_uri

    def get_status(self) -> str:
        """MLflow's RUNNING, FINISHED, FAILED or KILLED, from the tracking store."""
        return self._run().status

    def wait(self) -> bool:
        """Wait until the end of the run is written. True if the run succeeded.

        Raises:
            EngineUnavailable: The engine does not answer.
            TrackingUnreachable: The tracking store does not answer.
        """
        return self._await_status() == FINISHED

    def result(self) -> None:
        """Wait, and raise if the run did not succeed.

        Raises:
            RunFailed: The program failed.
            RunKilled: The run was cancelled.
        """
        if self.wait():
            return
        finished = Finished(outcome_in(self._run()), tuple(self._last_lines()))
        raise run_error(self._run_id, finished)

    def cancel(self, grace: float | None = None) -> None:
        """Stop the program, and return when the run has ended.

        Args:
            grace: Seconds between the stop signal and SIGKILL; that of the config by default.
        """
        if self._container_id is None:
            return
        with closing(connect(self._host)) as engine:
            cancel_program(engine, self._container_id, grace)
        self.wait()

    def logs(
        self, *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> Iterator[bytes]:
        """The output of the program so far, in pieces, without the secrets that it was given.

        Args:
            follow: Go on until the program has ended.
            since: Seconds since 1970; earlier output is left out.
            tail: Number of lines at the end; all by default.
        """
        if self._container_id is not None:
            # NotThere: the container was removed just now, at the end of the run.
            with suppress(NotThere), closing(connect(self._host)) as engine:
                found = inspect_container(engine, self._container_id)
                if found is not None:
                    for chunk in read_output(engine, found, follow=follow, since=since, tail=tail):
                        yield chunk.data
                    return
        yield from kept_output(self._store, self._run_id, since=since, tail=tail)

    def _last_lines(self) -> list[str]:
        try:
            return last_lines(b"".join(self.logs(tail=LAST_LINES)), LAST_LINES)
        except Exception:  # noqa: BLE001 each artifact store raises its own kind
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
        follower, seen = follower_of(self._host), Seen(self._run_id, Hold.BYSTANDER)
        with closing(connect(self._host)) as engine, ExitStack() as at_end:
            followed = follower.follow(self._container_id)
            at_end.callback(follower.leave, followed)
            while True:
                seen = self._look(engine, followed, seen)
                now = time.monotonic()
                course = decide(seen, now)
                if isinstance(course, Wait) and seen.ended_at is None:
                    followed.wait(min(_LOOK_SECONDS, course.until - now))
                    continue
                # The client or the supervisor writes the end; if neither does, this process does.
                until = course.until if isinstance(course, Wait) else now
                if (status := self._await_written(until)) in TERMINAL:
                    return status
                if not isinstance(course, Wait):
                    self._finish_if_left(engine, seen)
                    seen = replace(seen, ended_at=now)

    def _look(self, engine: Engine, followed: Followed, seen: Seen) -> Seen:
        now = time.monotonic()
        try:
            found = inspect_container(engine, followed.container_id)
            signs = gathered(engine, found, followed.signs)
        except EngineError:
            return seen.without_engine(now)
        seen = seen.looked_at(found, signs, now)
        note = self._entry(seen).read()
        if note is None:
            return seen
        starts_at = now + note.resumes - time.time()
        return replace(seen, attempts=note.attempts, starts_at=starts_at)

    def _entry(self, seen: Seen) -> Entry:
        submission = seen.container.submission if seen.container is not None else ""
        return ledger_of(self._host).entry(submission or self._run_id)

    def _await_written(self, until: float) -> str:
        statuses = _STATUSES.setdefault(self._tracking_uri, _Statuses())
        while True:
            status = statuses.read(self._run_id, self.get_status)
            if status in TERMINAL or time.monotonic() >= until:
                return status
            time.sleep(_PAUSE_SECONDS)

    def _finish_if_left(self, engine: Engine, seen: Seen) -> None:
        """Write the end, unless another process of this user is about to."""
        entry = self._entry(seen)
        with entry.lock() as lock:
            if lock.try_to_own() and _is_as_seen(engine, seen.ending.there):
                finish_run(seen.ending, engine, self._store, entry)


def _is_as_seen(engine: Engine, found: RunContainer | None) -> bool:
    """False if another process has started, renamed or removed the container meanwhile."""
    try:
        return found is None or inspect_container(engine, found.id) == found
    except EngineError:
        return False
