"""Uploads the artifacts that a run has at its end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from container_backend import labels_and_tags
from container_backend.masking import without_credentials
from container_backend.runs.ledger import METRICS
from container_backend.store import LOG_FOLDER, RunRecord, log_environment, log_metrics

if TYPE_CHECKING:
    from container_backend.container import Ending
    from container_backend.engine import Engine
    from container_backend.runs.ledger import Entry
    from container_backend.runs.output import LogSpool


class Artifacts:
    """Uploads in a thread, because artifact stores may hang.

    Attributes:
        missing: Why artifacts are missing; empty once all are uploaded.
    """

    def __init__(
        self,
        ending: Ending,
        engine: Engine,
        record: RunRecord,
        entry: Entry,
        spool: LogSpool,
        environment: threading.Thread | None,
    ) -> None:
        self.missing = "the artifact store has not answered yet"
        self._ending, self._engine, self._record = ending, engine, record
        self._entry, self._spool, self._environment = entry, spool, environment
        self._thread = threading.Thread(
            target=self._run, name=f"artifacts-{ending.run_id}", daemon=True
        )
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until all is uploaded or an upload failed, at most for these seconds."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._log()
            self.missing = ""
        except Exception as error:  # noqa: BLE001 each artifact store raises its own kind
            self.missing = without_credentials(f"{type(error).__name__}: {error}")

    def _log(self) -> None:
        try:
            self._log_output()
        finally:  # that thread logs its own errors
            if self._environment is not None:
                self._environment.join()
        there = self._ending.there
        if self._environment is None and there is not None:
            recorded = there.labels.get(labels_and_tags.LABEL_RECORD, "")
            log_environment(self._engine, self._record, there.id, recorded)

    def _log_output(self) -> None:
        record, last = self._record, self._ending.container
        log_metrics(record.store, record.run_id, self._entry.folder / METRICS)
        if last is None or not last.was_started:
            return
        if self._spool.error is not None:
            raise self._spool.error
        record.log_artifact(self._spool.file, LOG_FOLDER)
