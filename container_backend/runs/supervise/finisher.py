"""What finishes runs for the supervisor: a process with MLflow in it, which ends when idle.

It reads a job per line from its standard input and answers each with a line, in any order.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend import labels_and_tags
from container_backend.container import TERMINAL, RunContainer, Signs
from container_backend.engine import connect
from container_backend.runs.ledger import Ledger
from container_backend.store import import_mlflow_lean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.container import Ending
    from container_backend.engine import Engine
    from container_backend.store import Store

END: Final = "end"
PROGRESS: Final = "progress"
# Answers: it is finished; another process does it; it must be tried again; all but some artifacts is
# there, and that must be tried again.
DONE: Final = "done"
BUSY: Final = "busy"
AGAIN: Final = "again"
INCOMPLETE: Final = "incomplete"
# The variable with the address of the store. It may hold a password: arguments can be seen by everybody.
ADDRESS: Final = "MLFLOW_TRACKING_URI"
_THREADS: Final = 4


@dataclass(frozen=True)
class Job:
    """Something to be done for a run.

    Attributes:
        kind: ``END``, or ``PROGRESS``: log what there is of one that goes on.
        submission: The name of its entry.
        run_id: Of the run; empty where it is not known.
        experiment_id: Of the run.
        container: As it was seen last.
        is_gone: Whether there is no container any more.
        signs: What else was seen of it.
        attempts: How many times its program was started.
        insist: Whether the artifact store must have taken everything.
    """

    kind: str
    submission: str
    run_id: str
    experiment_id: str = ""
    container: RunContainer | None = None
    is_gone: bool = False
    signs: Signs = field(default_factory=Signs)
    attempts: int = 1
    insist: bool = True

    def as_json(self) -> dict[str, Any]:
        """For another process."""
        # Not asdict, which copies all that the container is described with.
        container = None if self.container is None else vars(self.container)
        return {**vars(self), "container": container, "signs": vars(self.signs)}


def read_job(said: Mapping[str, Any]) -> Job:
    """The reverse of :meth:`Job.as_json`."""
    container = said["container"]
    return Job(
        **{
            **said,
            "container": None if container is None else RunContainer(**container),
            "signs": Signs(**said["signs"]),
        }
    )


class _Finisher:
    """Does jobs, in several threads."""

    def __init__(self, ledger: Ledger, tracking_uri: str) -> None:
        self._ledger = ledger
        self._tracking_uri = tracking_uri
        self._opened: Store | None = None
        self._engine: Engine | None = None
        self._connecting = threading.Lock()

    def do(self, job: Job) -> tuple[str, str]:
        """The answer, and what there is to say."""
        try:
            if job.kind == PROGRESS:
                self._progress(job)
                return DONE, ""
            with self._ledger.entry(job.submission).lock() as lock:
                if not lock.try_to_own():
                    return BUSY, ""
                return self._end(job)
        except Exception as error:  # noqa: BLE001 of the store, the engine, the disk
            return AGAIN, f"{type(error).__name__}: {error}"

    def _end(self, job: Job) -> tuple[str, str]:
        from container_backend.runs.ending import finish_run

        entry = self._ledger.entry(job.submission)
        ending = self._ending(job)
        if ending is None:
            entry.remove()
            return DONE, "there was no run yet"
        finished = finish_run(ending, self._connected(), self._store, entry, insist=job.insist)
        said = f"{finished.outcome.status} {finished.outcome.reason}".strip()
        return (INCOMPLETE, finished.missing) if finished.missing and job.insist else (DONE, said)

    def _ending(self, job: Job) -> Ending | None:
        """What is known of its end; None for what has come to its end already."""
        from container_backend.container import Ending

        run_id = job.run_id or self._find_run(job)
        if not run_id:
            return None
        if job.container is None:
            # Its client ended the run, but not the entry.
            run = self._store.find_run(run_id)
            if run is not None and run.status in TERMINAL:
                return None
        return Ending(run_id, job.container, job.is_gone, job.signs, job.attempts)

    def _find_run(self, job: Job) -> str:
        """The run that a client made, and did not live to note."""
        found = self._store.runs_with_tag(
            job.experiment_id, labels_and_tags.TAG_SUBMISSION, job.submission
        )
        return found[0].run_id if found else ""

    def _progress(self, job: Job) -> None:
        from container_backend.runs.output import upload_while_running

        entry = self._ledger.entry(job.submission)
        if (ending := self._ending(job)) is not None:
            upload_while_running(ending, self._connected(), self._store, entry.folder)

    @property
    def _store(self) -> Store:
        """Opened by the first job, which then says what is wrong with its address."""
        from container_backend.store import Store

        with self._connecting:
            self._opened = self._opened or Store(self._tracking_uri)
            return self._opened

    def _connected(self) -> Engine:
        with self._connecting:
            self._engine = self._engine or connect()
            return self._engine


def main() -> None:
    """Do the jobs that come in, until no more will."""
    (folder,) = sys.argv[1:]
    tracking_uri = os.environ[ADDRESS]
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what MLflow prints is no answer
    import_mlflow_lean()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s finisher: %(message)s")
    finisher = _Finisher(Ledger(Path(folder)), tracking_uri)
    writing = threading.Lock()

    def work(line: str) -> None:
        said = json.loads(line)
        state, text = finisher.do(read_job(said["job"]))
        with writing:
            answers.write(json.dumps({"id": said["id"], "state": state, "said": text}) + "\n")
            answers.flush()

    with ThreadPoolExecutor(_THREADS) as pool:
        for line in sys.stdin:
            pool.submit(work, line)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # MLflow's own threads are not waited for
