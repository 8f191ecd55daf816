"""A process that finishes runs for the supervisor, and ends when idle.

It imports MLflow only if no tracking proxy serves the store.

It reads a job per line from its standard input, with the address of the store, which may hold a
password. It answers each with a line, in any order.
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
from container_backend.container import TERMINAL, Ending, RunContainer, Signs
from container_backend.engine import connect
from container_backend.runs.ledger import Ledger
from container_backend.runs.tracking import open_store
from container_backend.store import import_mlflow_lean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import Engine
    from container_backend.store import Store

END: Final = "end"
PROGRESS: Final = "progress"
# Answers: the run is finished; another process finishes it; the end could not be written; only some
# artifacts could not be written. The supervisor tries again after all but the first.
DONE: Final = "done"
BUSY: Final = "busy"
AGAIN: Final = "again"
INCOMPLETE: Final = "incomplete"
_THREADS: Final = 4


@dataclass(frozen=True)
class Job:
    """What a finisher does for a run.

    Attributes:
        kind: ``END``, or ``PROGRESS``: upload the output and metrics so far.
        submission: The name of the ledger entry.
        run_id: Empty if not known.
        container: As it was last.
        is_gone: The container is missing now.
        attempts: Number of starts of the program.
        insist: Keep the container until the artifact store has taken everything.
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
        # Not asdict, which copies the whole description of the container.
        container = None if self.container is None else vars(self.container)
        return {**vars(self), "container": container, "signs": vars(self.signs)}


def read_job(said: Mapping[str, Any]) -> Job:
    container = said["container"]
    return Job(
        **{
            **said,
            "container": None if container is None else RunContainer(**container),
            "signs": Signs(**said["signs"]),
        }
    )


class _Finisher:
    """Does jobs for the runs of a store; may be called from several threads."""

    def __init__(self, ledger: Ledger, tracking_uri: str) -> None:
        self._ledger = ledger
        self._tracking_uri = tracking_uri
        self._opened: Store | None = None
        self._engine: Engine | None = None
        self._connecting = threading.Lock()

    def do(self, job: Job) -> tuple[str, str]:
        """The answer and a text for the log."""
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
            return DONE, "no run to finish"
        finished = finish_run(ending, self._connected(), self._store, entry, insist=job.insist)
        said = f"{finished.outcome.status} {finished.outcome.reason}".strip()
        return (INCOMPLETE, finished.missing) if finished.missing and job.insist else (DONE, said)

    def _ending(self, job: Job) -> Ending | None:
        """What is known of the end; None if the run was finished or never created."""
        run_id = job.run_id or self._find_run(job)
        if not run_id:
            return None
        if job.container is None:
            # The client finished the run, but was killed before it removed the entry.
            run = self._store.find_run(run_id)
            if run is not None and run.status in TERMINAL:
                return None
        return Ending(run_id, job.container, job.is_gone, job.signs, job.attempts)

    def _find_run(self, job: Job) -> str:
        """The id of a run whose client was killed before it noted the id; empty for none."""
        found = self._store.runs_with_tag(
            job.experiment_id, labels_and_tags.TAG_SUBMISSION, job.submission
        )
        return found[0].run_id if found else ""

    def _progress(self, job: Job) -> None:
        from container_backend.runs.output import upload_while_running

        entry = self._ledger.entry(job.submission)
        if (ending := self._ending(job)) is not None:
            note = entry.read()
            noted = note.artifact_uri if note else ""
            upload_while_running(ending, self._connected(), self._store, entry.folder, noted)

    @property
    def _store(self) -> Store:
        """Opened by the first job, so that the answer says what is wrong with the address."""
        with self._connecting:
            self._opened = self._opened or open_store(self._tracking_uri)
            return self._opened

    def _connected(self) -> Engine:
        with self._connecting:
            self._engine = self._engine or connect()
            return self._engine


def main() -> None:
    """Do jobs until the standard input is closed."""
    (folder,) = sys.argv[1:]
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what MLflow prints is not an answer
    import_mlflow_lean()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s finisher: %(message)s")
    ledger = Ledger(Path(folder))
    finishers: dict[str, _Finisher] = {}
    writing = threading.Lock()

    def work(finisher: _Finisher, said: Mapping[str, Any]) -> None:
        state, text = finisher.do(read_job(said["job"]))
        with writing:
            answers.write(json.dumps({"id": said["id"], "state": state, "said": text}) + "\n")
            answers.flush()

    with ThreadPoolExecutor(_THREADS) as pool:
        for line in sys.stdin:
            said = json.loads(line)
            address = said["address"]
            if address not in finishers:
                finishers[address] = _Finisher(ledger, address)
            pool.submit(work, finishers[address], said)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # without waiting for the threads of MLflow
