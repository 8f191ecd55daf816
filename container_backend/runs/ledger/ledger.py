"""The ledger: an entry on disk for each run of this user on an engine.

An entry exists from before its run is created until the run is finished. The process that is
responsible for the run holds the entry's lock. A lock ends with its process: the supervisor takes
over entries that are not locked.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import stat
import tempfile
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.labels_and_tags import TEMPORARY_PREFIX
from container_backend.machine import (
    FileLock,
    is_submission,
    make_private,
    state_folder,
    write_whole,
)
from container_backend.runs.ledger.steps import StepsFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container_backend.engine import EngineHost

_logger = logging.getLogger(__package__)
# Files of an entry: readings of the container's statistics; its output as frames of the engine.
METRICS: Final = "metrics.jsonl"
FRAMES: Final = "frames"
_RUNS: Final = "runs"
_NOTE: Final = "run.json"
_LOCK: Final = "lock"
# As `tempfile.mkdtemp` and `downloads.choose_storage` name them.
_TEMPORARY: Final = re.compile(rf"{TEMPORARY_PREFIX}[a-z0-9_]{{8,12}}")


@dataclass(frozen=True)
class Note:
    """What an entry says of its run.

    Attributes:
        tracking_uri: Without credentials.
        run_id: Empty before the run was created.
        temporary: Folders that are removed with the entry.
        attempts: Number of starts of the program, with the next one if one is noted.
        resumes: When the next attempt starts, in seconds since 1970; 0 for the first.
        artifact_uri: Where the artifacts of the run go, as the store said when the run was created.
        container: The id of the run's container; empty before it was created.
        record: Path → digest of the files in the container's record folder.
        proxy: The folder of the tracking proxy; empty if the program does not use one.
        resumes_run: The id of a run that exists and is to go on; empty for a new run.
    """

    tracking_uri: str
    experiment_id: str
    run_id: str = ""
    temporary: tuple[str, ...] = ()
    attempts: int = 1
    resumes: float = 0.0
    artifact_uri: str = ""
    container: str = ""
    record: Mapping[str, str] = field(default_factory=dict)
    proxy: str = ""
    resumes_run: str = ""


@dataclass(frozen=True)
class Entry:
    """The folder of a run. Its name, the submission, is known before the run has an id."""

    folder: Path

    @property
    def submission(self) -> str:
        return self.folder.name

    @property
    def is_there(self) -> bool:
        """False before the note was written and after the run was finished."""
        return self.note.exists()

    @property
    def note(self) -> Path:
        """The file that is there until the run is finished."""
        return self.folder / _NOTE

    @property
    def steps(self) -> StepsFolder:
        """The folder of the steps that its program starts; most have none."""
        return StepsFolder(self.folder.parents[1] / "steps" / self.submission)

    def lock(self) -> FileLock:
        """The lock of the entry, not yet taken."""
        return FileLock(self.folder / _LOCK, "another process that finishes this run")

    def write(self, note: Note) -> None:
        """Write the note atomically; an error of the disk is only logged."""
        try:
            make_private(self.folder)
            write_whole(self.note, json.dumps(asdict(note)))
        except OSError as error:
            _logger.debug("No note in %s: %s", self.folder, error)

    def read(self) -> Note | None:
        """None if the note is missing or damaged."""
        try:
            values = json.loads(self.note.read_text(encoding="utf-8"))
            note = Note(**{**values, "temporary": tuple(values["temporary"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if not isinstance(note.record, dict):
            return None
        texts = [note.tracking_uri, note.experiment_id, note.run_id, note.artifact_uri]
        texts += [
            note.container,
            note.proxy,
            note.resumes_run,
            *note.temporary,
            *note.record,
            *note.record.values(),
        ]
        is_valid = isinstance(note.attempts, int) and note.attempts > 0
        return note if is_valid and all(isinstance(text, str) for text in texts) else None

    def note_attempt(self, attempt: int, resumes: float) -> None:
        """Note the next attempt and its start, in seconds since 1970."""
        if (note := self.read()) is not None:
            self.write(replace(note, attempts=attempt, resumes=resumes))

    def remove(self) -> None:
        """Remove the entry and the run's temporary folders."""
        note = self.read()
        for folder in map(Path, note.temporary if note else ()):
            if is_temporary(folder):
                shutil.rmtree(folder, ignore_errors=True)
            elif folder.exists():
                _logger.warning("'%s' was not made for a run: it is not removed", folder)
        with suppress(OSError):  # first the note, which other processes look for; then the lock
            self.note.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Ledger:
    """All entries of an engine."""

    folder: Path

    def make(self) -> None:
        """Make the folder, readable only by its owner. Raises ``OSError``."""
        make_private(self.folder)
        with suppress(OSError):  # older versions made it readable by all users
            state_folder().chmod(0o700)

    @property
    def supervisor_log(self) -> Path:
        return self.folder / "supervisor.log"

    @property
    def shared_code(self) -> Path:
        """The folder of notes about code that runs share on the engine."""
        return self.folder / "code"

    def new_entry(self) -> Entry:
        """An entry with a new name; nothing is written yet."""
        return self.entry(uuid.uuid4().hex)

    def entry(self, submission: str) -> Entry:
        """The entry of a name, also if it is missing. Raises ``ValueError`` for another text."""
        if not is_submission(submission):
            raise ValueError(f"this is no name of an entry: {submission!r}")
        return Entry(self.folder / _RUNS / submission)

    def submissions(self) -> list[str]:
        """The names of all entries, also of those that are being made or removed."""
        try:
            found = os.listdir(self.folder / _RUNS)  # noqa: PTH208 names are enough
        except OSError:
            return []
        return sorted(filter(is_submission, found))

    def entries(self) -> Iterator[Entry]:
        for submission in self.submissions():
            entry = self.entry(submission)
            if entry.is_there:
                yield entry


def is_temporary(folder: Path) -> bool:
    """True for a folder that was made for a run: by its name, place and owner; never for a link."""
    place = Path(tempfile.gettempdir()).resolve()
    if not _TEMPORARY.fullmatch(folder.name) or folder.parent.resolve() != place:
        return False
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def ledger_of(host: EngineHost) -> Ledger:
    engine = hashlib.sha256(host.url.encode()).hexdigest()[:12]
    return Ledger(state_folder() / "engines" / engine)
