"""What this user's runs on an engine need beyond their containers: notes, spools and locks on disk.

A run has an entry from before it is created until it is finished. The process that sees to it holds the
entry's lock, which ends with the process: an entry that no process holds needs the supervisor.
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
from dataclasses import asdict, dataclass, replace
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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import EngineHost

_logger = logging.getLogger(__package__)
# Files of an entry: readings of the container's statistics, and its output as the engine sent it.
METRICS: Final = "metrics.jsonl"
FRAMES: Final = "frames"
_RUNS: Final = "runs"
_NOTE: Final = "run.json"
_LOCK: Final = "lock"
# As `tempfile.mkdtemp` and `downloads.choose_storage` name them.
_TEMPORARY: Final = re.compile(rf"{TEMPORARY_PREFIX}[a-z0-9_]{{8,12}}")


@dataclass(frozen=True)
class Note:
    """What is written down of a run.

    Attributes:
        tracking_uri: Of the run, without credentials.
        experiment_id: Of the run.
        run_id: Empty before the run was created.
        temporary: Folders of this machine that the container uses, and that go with the run.
        attempts: How many times its program was started, the next time included.
        resumes: When the next time is, in seconds since 1970; 0 where there was one only.
    """

    tracking_uri: str
    experiment_id: str
    run_id: str = ""
    temporary: tuple[str, ...] = ()
    attempts: int = 1
    resumes: float = 0.0


def _is_count(note: Note) -> bool:
    return isinstance(note.attempts, int) and note.attempts > 0


class Entry:
    """The folder of a run."""

    def __init__(self, folder: Path) -> None:
        """Nothing is written or locked by this."""
        self.folder = folder

    @property
    def submission(self) -> str:
        """Its name: known before the run has an id."""
        return self.folder.name

    @property
    def is_there(self) -> bool:
        """Whether there is a run that it is of."""
        return (self.folder / _NOTE).exists()

    def lock(self) -> FileLock:
        """Held by who sees to the run; nothing is locked yet."""
        return FileLock(self.folder / _LOCK, "another process that finishes this run")

    def write(self, note: Note) -> None:
        """Write the note, whole or not at all. A disk that does not take it is no reason to stop."""
        try:
            make_private(self.folder)
            write_whole(self.folder / _NOTE, json.dumps(asdict(note)))
        except OSError as error:
            _logger.debug("No note on %s: %s", self.folder, error)

    def read(self) -> Note | None:
        """The note; None where there is none."""
        try:
            values = json.loads((self.folder / _NOTE).read_text(encoding="utf-8"))
            note = Note(**{**values, "temporary": tuple(values["temporary"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        texts = (note.tracking_uri, note.experiment_id, note.run_id, *note.temporary)
        return note if all(isinstance(text, str) for text in texts) and _is_count(note) else None

    def note_attempt(self, attempt: int, resumes: float) -> None:
        """Note which attempt comes next and when, in seconds since 1970."""
        if (note := self.read()) is not None:
            self.write(replace(note, attempts=attempt, resumes=resumes))

    def remove(self) -> None:
        """The run is finished: its temporary folders and its entry are no longer needed."""
        note = self.read()
        for folder in map(Path, note.temporary if note else ()):
            if is_temporary(folder):
                shutil.rmtree(folder, ignore_errors=True)
            elif folder.exists():
                _logger.warning("'%s' is no folder that was made for a run: it stays", folder)
        with suppress(OSError):  # first what says that there is something to do, then the lock
            (self.folder / _NOTE).unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Ledger:
    """All entries of an engine."""

    folder: Path

    def make(self) -> None:
        """Make its folder, where it is not there.

        Raises:
            OSError: It cannot be made.
        """
        make_private(self.folder)
        with suppress(OSError):  # older versions made it for everybody to look into
            state_folder().chmod(0o700)

    @property
    def supervisor_lock(self) -> Path:
        """The lock of the one supervisor."""
        return self.folder / "supervisor.lock"

    @property
    def supervisor_log(self) -> Path:
        """What it has to say."""
        return self.folder / "supervisor.log"

    @property
    def shared_code(self) -> Path:
        """The folder for notes about code that runs share on the engine."""
        return self.folder / "code"

    def new_entry(self) -> Entry:
        """An entry of a new name; nothing is written yet."""
        return self.entry(uuid.uuid4().hex)

    def entry(self, submission: str) -> Entry:
        """The entry of a name, which may be missing.

        Raises:
            ValueError: It is no name of an entry, but maybe a path.
        """
        if not is_submission(submission):
            raise ValueError(f"this is no name of an entry: {submission!r}")
        return Entry(self.folder / _RUNS / submission)

    def submissions(self) -> list[str]:
        """The names of all entries; of those, too, that are just being made or removed."""
        try:
            found = os.listdir(self.folder / _RUNS)  # noqa: PTH208 names are enough
        except OSError:
            return []
        return sorted(filter(is_submission, found))

    def entries(self) -> Iterator[Entry]:
        """Those that are there."""
        for submission in self.submissions():
            entry = self.entry(submission)
            if entry.is_there:
                yield entry


def is_temporary(folder: Path) -> bool:
    """Whether a folder was made for a run: by its name, its place and its owner; and is no link."""
    place = Path(tempfile.gettempdir()).resolve()
    if not _TEMPORARY.fullmatch(folder.name) or folder.parent.resolve() != place:
        return False
    try:
        found = folder.lstat()
    except OSError:
        return False
    is_own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return stat.S_ISDIR(found.st_mode) and is_own


def ledger_of(host: EngineHost) -> Ledger:
    """The ledger of an engine."""
    engine = hashlib.sha256(host.url.encode()).hexdigest()[:12]
    return Ledger(state_folder() / "engines" / engine)
