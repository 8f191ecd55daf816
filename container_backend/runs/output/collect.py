"""The whole output of a container, as the engine has it, collected into a file."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from container_backend.errors import NotThere, Refused
from container_backend.labels_and_tags import TEMPORARY_PREFIX
from container_backend.runs.ledger import FRAMES
from container_backend.runs.output.spool import LogSpool, frames_in
from container_backend.runs.output.stream import read_log
from container_backend.store import LOG_FOLDER

if TYPE_CHECKING:
    from container_backend.container import Ending
    from container_backend.engine import Engine

_logger = logging.getLogger(__package__)
# The folder of this process for output that the disk of the entry does not take.
_ELSEWHERE: list[Path] = []


def collect_output(ending: Ending, engine: Engine, folder: Path) -> LogSpool:
    """The whole output of a container, as the engine has it.

    Args:
        ending: Of the run, or what is known of it so far.
        engine: Where its container is.
        folder: Of its entry. Where the disk is full, it is kept among the temporary files.

    Raises:
        NotThere: The container is gone.
        EngineError: The engine went away.
    """
    frames = folder / FRAMES
    spool = _spool(ending, engine, folder / LOG_FOLDER, frames)
    if spool.error is not None:
        spool = _spool(ending, engine, _elsewhere() / ending.run_id, frames)
    return spool


def _elsewhere() -> Path:
    """A folder among the temporary files, which others may write to: one for each process."""
    if not _ELSEWHERE:
        _ELSEWHERE.append(Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX)))
    return _ELSEWHERE[0]


def _spool(ending: Ending, engine: Engine, folder: Path, frames: Path) -> LogSpool:
    last = ending.container
    spool = LogSpool(folder, last.secrets if last is not None else ())
    if ending.there is not None:
        try:
            spool.take(read_log(engine, ending.there.id))
        except NotThere:  # nothing that would take the place of what was kept
            raise
        except Refused as error:  # a log driver that cannot be read
            _logger.warning("The output of run (ID '%s') is not kept: %s", ending.run_id, error)
    elif frames.exists():
        spool.take(frames_in(frames))
    spool.close()
    return spool
