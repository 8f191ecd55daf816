"""The end of a run: what is known of its container is written down, and the container put away.

All that is written comes from the container, so that whoever does it, and however often, writes
the same. What cannot be written yet leaves the container where it is.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from docker.errors import APIError, NotFound
from mlflow.exceptions import MlflowException
from mlflow.utils import mlflow_tags

from container_backend import container as containers
from container_backend import names, state
from container_backend.description import Facts, describe
from container_backend.ending import Ending, outcome_at
from container_backend.environment_record import log_environment
from container_backend.explanation import explain
from container_backend.ledger import FRAMES, METRICS
from container_backend.logs import read_log
from container_backend.metrics import log_metrics
from container_backend.record import RunRecord, is_missing
from container_backend.spool import LogSpool, frames_in, last_lines
from container_backend.state import Outcome

if TYPE_CHECKING:
    import mlflow
    from mlflow.tracking import MlflowClient

    from container_backend.engine import Engine
    from container_backend.ledger import Entry
    from container_backend.run_container import RunContainer

_logger = logging.getLogger(__name__)

LOG_FOLDER: Final = "logs"
# How much of the end of the output goes into an error and into the description.
LAST_LINES: Final = 20
# For so long an artifact store may hold up the end of a run whose program has ended.
ARTIFACTS_PATIENCE_SECONDS: Final = 60.0
# What the store says of a run that somebody deleted: nothing is to be written down any more.
_DELETED: Final = "deleted"
_TAGS_OF_AN_END: Final = {names.TAG_EXIT_CODE, names.TAG_CAUSE}


@dataclass(frozen=True)
class Finished:
    """A run whose status is written.

    Attributes:
        outcome: How it ended.
        last_lines: Of its output.
        missing: What could not be written yet; empty when the container was put away.
    """

    outcome: Outcome
    last_lines: tuple[str, ...] = ()
    missing: str = ""


def finish(
    ending: Ending,
    engine: Engine,
    client: MlflowClient,
    entry: Entry,
    *,
    spool: LogSpool | None = None,
    environment: threading.Thread | None = None,
    insist: bool = True,
) -> Finished:
    """Bring a run to its end: artifacts, tags, description, status; then the container goes.

    Args:
        ending: What is known of it.
        engine: Where its container is, or was.
        client: Of its store.
        entry: Of the run in the ledger.
        spool: Its output, where the caller has all of it.
        environment: What logs the environment already.
        insist: Whether the container stays until the artifact store has taken everything.

    Raises:
        MlflowException: The tracking store cannot be written to. The container is still there.
        ENGINE_ERRORS: The engine went away.
    """
    run = _find(client, ending.run_id)
    if run is None:
        _put_away(ending, engine, entry, keep=False)
        return Finished(Outcome(state.KILLED, "the run was deleted", cause=state.CANCEL))
    if ending.is_gone and (written := _written(run)) is not None:
        _put_away(ending, engine, entry, keep=False)
        return Finished(written)
    if spool is None:
        try:
            spool = keep_log(ending, engine, entry.folder)
        except NotFound:  # it was removed since it was seen, most likely by who has finished it
            if (written := _written(client.get_run(ending.run_id))) is not None:
                _put_away(ending, engine, entry, keep=False)
                return Finished(written)
            spool = keep_log(replace(ending, is_gone=True), engine, entry.folder)
    record = RunRecord(
        client, ending.run_id, str(run.info.experiment_id), str(run.info.artifact_uri)
    )
    artifacts = _Artifacts(ending, engine, record, entry, spool, environment)
    was_created = names.TAG_CONTAINER_ID in run.data.tags or ending.container is not None
    outcome = outcome_at(ending, was_created=was_created)
    lines = last_lines(spool.tail, LAST_LINES)
    outcome = _explained(outcome, spool.tail, ending, engine)
    artifacts.wait(ARTIFACTS_PATIENCE_SECONDS)
    remarks = [] if spool.error is None else [_not_kept(spool.error)]
    note = describe(
        _facts(ending, run, remarks),
        outcome,
        lines,
        run.data.tags.get(mlflow_tags.MLFLOW_RUN_NOTE, ""),
    )
    _write_end(record, ending, outcome, note)
    missing = artifacts.missing()
    if missing and insist:
        return Finished(outcome, tuple(lines), missing)
    _put_away(ending, engine, entry, keep=_is_kept(ending.container, outcome))
    return Finished(outcome, tuple(lines))


def _write_end(record: RunRecord, ending: Ending, outcome: Outcome, note: str) -> None:
    tags = {names.TAG_ATTEMPTS: str(ending.attempts)} if ending.attempts > 1 else {}
    record.finish(
        outcome,
        ending.there.finished_at if ending.there is not None else None,
        {**tags, mlflow_tags.MLFLOW_RUN_NOTE: note},
    )


def _find(client: MlflowClient, run_id: str) -> mlflow.entities.Run | None:
    """The run; None for one that was deleted."""
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if is_missing(error):
            return None
        raise
    return None if run.info.lifecycle_stage == _DELETED else run


def _written(run: mlflow.entities.Run) -> Outcome | None:
    """How a run ended, where somebody wrote that down; a program may have set the status alone."""
    tags = run.data.tags
    if run.info.status not in state.TERMINAL or not tags.keys() & _TAGS_OF_AN_END:
        return None
    code = tags.get(names.TAG_EXIT_CODE)
    return Outcome(
        str(run.info.status),
        tags.get(names.TAG_REASON, ""),
        int(code) if code else None,
        tags.get(names.TAG_CAUSE, ""),
    )


def keep_log(ending: Ending, engine: Engine, folder: Path) -> LogSpool:
    """The whole output of a container, as the engine has it.

    Args:
        ending: Of the run, or what is known of it so far.
        engine: Where its container is.
        folder: Of its entry. Where the disk is full, it is kept among the temporary files.

    Raises:
        NotFound: The container is gone.
        ENGINE_ERRORS: The engine went away.
    """
    frames = folder / FRAMES
    spool = _spool(ending, engine, folder / LOG_FOLDER, frames)
    if spool.error is not None:
        elsewhere = Path(tempfile.gettempdir(), f"container-backend-{ending.run_id}")
        spool = _spool(ending, engine, elsewhere, frames)
    return spool


def _spool(ending: Ending, engine: Engine, folder: Path, frames: Path) -> LogSpool:
    last = ending.container
    spool = LogSpool(folder, last.secrets if last is not None else ())
    if ending.there is not None:
        try:
            spool.take(read_log(engine, ending.there.id))
        except NotFound:  # nothing that would take the place of what was kept
            raise
        except APIError as error:  # a log driver that cannot be read
            _logger.warning("The output of run (ID '%s') is not kept: %s", ending.run_id, error)
    elif frames.exists():
        spool.take(frames_in(frames))
    spool.close()
    return spool


class _Artifacts:
    """What goes to the artifact store, in a thread: stores may hang."""

    def __init__(
        self,
        ending: Ending,
        engine: Engine,
        record: RunRecord,
        entry: Entry,
        spool: LogSpool,
        environment: threading.Thread | None,
    ) -> None:
        self._missing = "the artifact store has not answered yet"
        self._ending, self._engine, self._record = ending, engine, record
        self._entry, self._spool, self._environment = entry, spool, environment
        self._thread = threading.Thread(
            target=self._run, name=f"artifacts-{ending.run_id}", daemon=True
        )
        self._thread.start()

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)

    def missing(self) -> str:
        """Why something is missing; empty when all is there."""
        return self._missing

    def _run(self) -> None:
        try:
            self._log()
            self._missing = ""
        except Exception as error:  # noqa: BLE001 each artifact store raises its own kind
            self._missing = f"{type(error).__name__}: {error}"

    def _log(self) -> None:
        try:
            self._log_output()
        finally:  # it says for itself what it could not do
            if self._environment is not None:
                self._environment.join()
        there = self._ending.there
        if self._environment is None and there is not None:
            recorded = there.labels.get(names.LABEL_RECORD, "")
            log_environment(self._engine, self._record, there.id, recorded)

    def _log_output(self) -> None:
        record, last = self._record, self._ending.container
        log_metrics(record.client, record.run_id, self._entry.folder / METRICS)
        if last is None or not last.was_started:
            return
        if self._spool.error is not None:
            raise self._spool.error
        record.artifacts().log_artifact(str(self._spool.file), LOG_FOLDER)


def _explained(outcome: Outcome, tail: bytes, ending: Ending, engine: Engine) -> Outcome:
    if outcome.cause != state.PROGRAM or ending.there is None:
        return outcome
    explanation = explain(tail, engine, ending.there)
    return replace(outcome, reason=f"{outcome.reason}: {explanation}") if explanation else outcome


def _not_kept(error: OSError) -> str:
    return f"Its output is not kept: {error.strerror or error}."


def _facts(ending: Ending, run: mlflow.entities.Run, remarks: list[str]) -> Facts:
    last, tags = ending.container, run.data.tags
    seconds = None
    if last is not None and not ending.is_gone and last.started_at and last.finished_at:
        seconds = max(0.0, last.finished_at - last.started_at)
    return Facts(
        image=tags.get(names.TAG_IMAGE, ""),
        digest=tags.get(names.TAG_IMAGE_DIGEST, ""),
        command=last.command if last is not None else "",
        seconds=seconds,
        attempts=ending.attempts,
        again=("container-backend", "rerun", ending.run_id),
        remarks=remarks,
    )


def _is_kept(last: RunContainer | None, outcome: Outcome) -> bool:
    policy = last.labels.get(names.LABEL_KEEP) if last is not None else None
    return policy == "always" or (policy == "on-failure" and outcome.status == state.FAILED)


def _put_away(ending: Ending, engine: Engine, entry: Entry, *, keep: bool) -> None:
    if ending.there is not None:
        if keep:
            kept = names.container_name(ending.run_id, names.KEPT)
            containers.rename(engine, ending.there.id, kept)
        else:
            containers.remove(engine, ending.there.id)
    entry.remove()
