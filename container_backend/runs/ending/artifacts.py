"""Uploads the artifacts that a run has at its end."""

from __future__ import annotations

import threading
from dataclasses import dataclass
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


@dataclass
class Artifacts:
    """What a run leaves in the artifact store.

    Attributes:
        environment: The thread that uploads the environment already; None to upload it here.
        missing: Why artifacts are missing; empty once all are uploaded.
    """

    ending: Ending
    engine: Engine
    record: RunRecord
    entry: Entry
    spool: LogSpool
    environment: threading.Thread | None
    missing: str = "the artifact store has not answered yet"

    def upload(self, seconds: float) -> None:
        """Upload in a thread, because stores may hang, and wait for the end for these seconds."""
        name = f"artifacts-{self.ending.run_id}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        thread.start()
        thread.join(seconds)

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
            if self.environment is not None:
                self.environment.join()
        there = self.ending.there
        if self.environment is None and there is not None:
            recorded = there.labels.get(labels_and_tags.LABEL_RECORD, "")
            note = self.entry.read()
            # A note of an older version has none.
            digests = (note.record or None) if note else None
            log_environment(
                *(self.engine, self.record, there.id, recorded),
                digests=digests,
                most=there.most_output,
            )

    def _log_output(self) -> None:
        record, last = self.record, self.ending.container
        log_metrics(record.store, record.run_id, self.entry.folder / METRICS)
        if last is None or not last.was_started:
            return
        if self.spool.error is not None:
            raise self.spool.error
        record.log_artifact(self.spool.file, LOG_FOLDER)
