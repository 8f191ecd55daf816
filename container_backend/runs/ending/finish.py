"""Finishes a run: writes its end down and removes the container.

All that is written comes from the container. So each process that finishes the run, and each
further try, writes the same. If something cannot be written yet, the container stays.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.container import (
    CAUSE_CANCELLED,
    CAUSE_PROGRAM,
    FAILED,
    KEPT,
    KILLED,
    TERMINAL,
    Ending,
    Outcome,
    mark_run,
    outcome_at,
    remove_container,
)
from container_backend.errors import NotThere, RunFailed, RunKilled
from container_backend.machine import exit_code_of
from container_backend.runs.ending.artifacts import Artifacts
from container_backend.runs.ending.output_hints import explain
from container_backend.runs.output import collect_output, last_lines
from container_backend.runs.tracking import end_grant
from container_backend.store import OUTPUT, RUN, Facts, RunRecord, describe_end, has_end

if TYPE_CHECKING:
    import threading

    from container_backend.container import RunContainer
    from container_backend.engine import Engine
    from container_backend.runs.ledger import Entry, Note
    from container_backend.runs.output import LogSpool
    from container_backend.store import Store, StoredRun

_logger = logging.getLogger(__package__)
# This many lines of the output go into an error and into the description.
LAST_LINES: Final = 20
# An artifact store may delay the status of a run for this time.
ARTIFACTS_PATIENCE_SECONDS: Final = 60.0
_DELETED: Final = "the run was deleted"


@dataclass(frozen=True)
class Finished:
    """A run whose status is written.

    Attributes:
        missing: Why artifacts are missing; empty once the container was removed or kept.
    """

    outcome: Outcome
    last_lines: tuple[str, ...] = ()
    missing: str = ""


def finish_run(
    ending: Ending,
    engine: Engine,
    store: Store,
    entry: Entry,
    *,
    spool: LogSpool | None = None,
    environment: threading.Thread | None = None,
    run: StoredRun | None = None,
    insist: bool = True,
) -> Finished:
    """Upload artifacts, write tags, description and status, then remove the container.

    Args:
        spool: The whole output, if the caller has it.
        environment: The thread that uploads the environment already.
        run: As it was read after the end of the program; None to read it here.
        insist: Keep the container until the artifact store has taken everything.

    Raises:
        TrackingUnreachable: The store does not answer. The container stays.
    """
    entered = entry.read()
    run = run or store.find_run(ending.run_id, entered.artifact_uri if entered else "")
    if entered is not None and entered.proxy:
        end_grant(entered.proxy, entry.submission)
    if run is None or (lost := _lost(run, entry, entered)):
        _put_away(ending, engine, entry, keep=False)
        entry.steps.end()
        reason = _DELETED if run is None else lost
        return Finished(Outcome(KILLED, reason, cause=CAUSE_CANCELLED))
    if (written := _finished_before(ending, entered, run, store)) is not None:
        _put_away(ending, engine, entry, keep=_is_kept(ending.container, written))
        return Finished(written)
    if spool is None:
        try:
            spool = collect_output(ending, engine, entry.folder)
        except NotThere:  # removed meanwhile, most likely by the process that finished it
            gone = replace(ending, is_gone=True)
            return finish_run(gone, engine, store, entry, environment=environment, insist=insist)
    record = RunRecord(store, run)
    artifacts = Artifacts(ending, engine, record, entry, spool, environment)
    container = _container_of(ending, entered, run)
    outcome = outcome_at(ending, was_created=bool(container))
    lines = last_lines(spool.tail, LAST_LINES)
    outcome = _explained(outcome, spool.tail, ending, engine)
    artifacts.upload(ARTIFACTS_PATIENCE_SECONDS)
    # A program that ended by itself may leave steps to go on, as on a user's machine.
    if outcome.cause not in {"", CAUSE_PROGRAM}:
        entry.steps.end()
    facts = _facts(ending, run, spool)
    note = describe_end(facts, outcome, lines, run.tags.get(labels_and_tags.MLFLOW_NOTE, ""))
    tags = {labels_and_tags.MLFLOW_NOTE: note, **_tags(ending, container)}
    last = ending.container
    record.finish(outcome, last.finished_at if last and not ending.is_gone else None, tags)
    missing = artifacts.missing
    if missing and insist:
        return Finished(outcome, tuple(lines), missing)
    _put_away(ending, engine, entry, keep=_is_kept(ending.container, outcome))
    return Finished(outcome, tuple(lines))


def _lost(run: StoredRun, entry: Entry, entered: Note | None) -> str:
    """Why nothing is written to a run any more; empty if it is."""
    if run.is_deleted:
        return _DELETED
    owner = run.tags.get(labels_and_tags.TAG_SUBMISSION, entry.submission)
    goes_on = entered is not None and owner != entry.submission
    return "another process goes on with the run" if goes_on else ""


def _container_of(ending: Ending, entered: Note | None, run: StoredRun) -> str:
    """The id of the run's container; empty if it was never created."""
    if ending.container is not None:
        return ending.container.id
    noted = entered.container if entered is not None else ""
    return noted or run.tags.get(labels_and_tags.TAG_CONTAINER_ID, "")


def _tags(ending: Ending, container: str) -> dict[str, str]:
    tags = {labels_and_tags.TAG_CONTAINER_ID: container} if container else {}
    if ending.attempts > 1:
        tags[labels_and_tags.TAG_ATTEMPTS] = str(ending.attempts)
    return tags


def _finished_before(
    ending: Ending, entered: Note | None, run: StoredRun, store: Store
) -> Outcome | None:
    """The end of a run that is finished; None if something is left to do.

    Without an entry, as on a full disk, a run that has its end, its output and its record is finished:
    another container may have its labels.
    """
    written, last = _written(run), ending.container
    if written is None or not (ending.is_gone or entered is None):
        return None
    if ending.is_gone or last is None or not last.was_started:
        return written
    kept = {
        path for file in (OUTPUT, RUN) for path in store.artifact_paths(run, str(Path(file).parent))
    }
    return written if {OUTPUT, RUN} <= kept else None


def _written(run: StoredRun) -> Outcome | None:
    """The end that is written; None if only the status is, which a program may set itself."""
    if run.status not in TERMINAL or not has_end(run):
        return None
    return outcome_in(run)


def outcome_in(run: StoredRun) -> Outcome:
    """How a run ended, by its status and tags."""
    return Outcome(
        run.status,
        run.tags.get(labels_and_tags.TAG_REASON, ""),
        exit_code_of(run.tags.get(labels_and_tags.TAG_EXIT_CODE)),
        run.tags.get(labels_and_tags.TAG_CAUSE, ""),
    )


def _explained(outcome: Outcome, tail: bytes, ending: Ending, engine: Engine) -> Outcome:
    if outcome.cause != CAUSE_PROGRAM or ending.there is None:
        return outcome
    explanation = explain(tail, engine, ending.there)
    return replace(outcome, reason=f"{outcome.reason}: {explanation}") if explanation else outcome


def _facts(ending: Ending, run: StoredRun, spool: LogSpool) -> Facts:
    last, tags, remarks = ending.container, run.tags, []
    if spool.error is not None:
        remarks.append(f"The output is not kept: {spool.error.strerror or spool.error}.")
    seconds = None
    if last is not None and not ending.is_gone and last.started_at and last.finished_at:
        seconds = max(0.0, last.finished_at - last.started_at)
    return Facts(
        image=tags.get(labels_and_tags.TAG_IMAGE, ""),
        digest=tags.get(labels_and_tags.TAG_IMAGE_DIGEST, ""),
        command=last.command if last is not None else "",
        seconds=seconds,
        attempts=ending.attempts,
        again=("container-backend", "rerun", ending.run_id),
        remarks=remarks,
    )


def _is_kept(last: RunContainer | None, outcome: Outcome) -> bool:
    policy = last.labels.get(labels_and_tags.LABEL_KEEP) if last is not None else None
    return policy == "always" or (policy == "on-failure" and outcome.status == FAILED)


def _put_away(ending: Ending, engine: Engine, entry: Entry, *, keep: bool) -> None:
    if ending.there is not None:
        if keep:
            mark_run(engine, ending.there.id, ending.run_id, KEPT)
        else:
            remove_container(engine, ending.there.id, ending.there.labels)
    entry.remove()


def run_error(run_id: str, finished: Finished) -> RunFailed:
    """The error for a run that failed or was killed."""
    outcome = finished.outcome
    killed = outcome.status == KILLED
    kind = RunKilled if killed else RunFailed
    verb = "was killed" if killed else "failed"
    return kind(
        f"Run (ID '{run_id}') {verb}: {outcome.reason}",
        last_lines=() if killed else finished.last_lines,
        run_id=run_id,
    )
