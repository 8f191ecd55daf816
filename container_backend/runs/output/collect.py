"""Collects the output of a container from the engine's log into a file."""

from __future__ import annotations

import logging
import tempfile
from functools import cache
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


def collect_output(ending: Ending, engine: Engine, folder: Path) -> LogSpool:
    """The output that the engine has of a container; of a missing one, the output that was kept.

    If the disk of the ledger entry's folder is full, the output goes to a temporary folder.
    Raises ``NotThere`` if the container was removed meanwhile.
    """
    frames = folder / FRAMES
    spool = _spool(ending, engine, folder / LOG_FOLDER, frames)
    if spool.error is not None:
        spool = _spool(ending, engine, _elsewhere() / ending.run_id, frames)
    return spool


@cache
def _elsewhere() -> Path:
    """A private folder of this process: other users may write to the temporary folder itself."""
    return Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX))


def _spool(ending: Ending, engine: Engine, folder: Path, frames: Path) -> LogSpool:
    last = ending.container
    spool = LogSpool(folder, *((last.secrets, last.most_output) if last is not None else ((),)))
    if ending.there is not None:
        try:
            spool.take(read_log(engine, ending.there.id))
        except NotThere:  # an empty file must not replace output that was kept
            raise
        except Refused as error:  # the log driver cannot be read
            _logger.warning("The output of run (ID '%s') is not kept: %s", ending.run_id, error)
    elif frames.exists():
        spool.take(frames_in(frames))
    spool.close()
    return spool
