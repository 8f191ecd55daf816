"""Locks between processes of one user, private files and folders, the folder for state."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

_logger = logging.getLogger(__package__)


class FileLock:
    """A shared or exclusive lock between processes of this user; it ends with the process."""

    def __init__(self, file: Path, who: str) -> None:
        """Open the lock; lock nothing yet.

        Args:
            file: Created if missing; if it cannot be created, the lock locks nothing.
            who: The possible holder, for the message of a process that waits.
        """
        self._who = who
        self._descriptor: int | None = None
        try:
            make_private(file.parent)
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            _logger.debug("The file %s cannot be locked: %s", file, error)

    def share(self) -> None:
        """Wait for the shared lock."""
        self._take(fcntl.LOCK_SH)

    def try_to_share(self) -> bool:
        """Take the shared lock without waiting; False if another process owns the lock."""
        return self._take(fcntl.LOCK_SH, wait=False)

    def own(self) -> None:
        """Wait for the exclusive lock."""
        self._take(fcntl.LOCK_EX)

    def try_to_own(self) -> bool:
        """Take the exclusive lock without waiting; False if another process holds the lock."""
        return self._take(fcntl.LOCK_EX, wait=False)

    def hand_on(self) -> tuple[int, ...]:
        """Descriptors for ``pass_fds`` of a process that holds the lock, too, as do its children."""
        return () if self._descriptor is None else (self._descriptor,)

    def _take(self, mode: int, *, wait: bool = True) -> bool:
        if self._descriptor is None:
            return True
        try:
            fcntl.flock(self._descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                return False
            _logger.info("=== Waiting for %s ===", self._who)
            fcntl.flock(self._descriptor, mode)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def make_private(folder: Path) -> None:
    """Create a folder and its missing parents; only this user may enter them."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def open_private(file: Path, mode: str, *, buffering: int = -1) -> IO[bytes]:
    """Open a file; only this user may read a file that this call creates."""
    # `Path.open` has no parameter `opener`.
    return open(file, mode, buffering=buffering, opener=owner_only)


def owner_only(path: str, flags: int) -> int:
    """An ``opener`` for files that only this user may read."""
    return os.open(path, flags, 0o600)


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's folder for state: https://specifications.freedesktop.org/basedir-spec/latest/."""
    home = environ.get("HOME")  # missing in many pods, whose user has a number but no name
    state = environ.get("XDG_STATE_HOME") or (
        Path(home, ".local", "state") if home else tempfile.gettempdir()
    )
    return Path(state) / "container-backend"


def write_whole(file: Path, text: str) -> None:
    """Create or replace a file atomically, readable by this user only; its folder must exist."""
    whole = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        with open_private(whole, "xb") as opened:
            opened.write(text.encode())
        whole.replace(file)
    except OSError:
        with suppress(OSError):
            whole.unlink()
        raise
