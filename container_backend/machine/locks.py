"""Locks between processes of one user, and where such things are kept."""

from __future__ import annotations

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

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
_logger = logging.getLogger(__package__)


class FileLock:
    """A lock that processes of this user hold together or alone. It ends with the process."""

    def __init__(self, file: Path, who: str) -> None:
        """Nothing is locked yet.

        Args:
            file: The lock; made where it is not there. One that cannot be made locks nothing.
            who: Who may hold it, for the message that says why it takes long.
        """
        self._who = who
        self._descriptor: int | None = None
        try:
            make_private(file.parent)
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            _logger.debug("No lock on %s: %s", file, error)

    def share(self) -> None:
        """Wait until no process holds the lock alone; then share it."""
        self._take("LOCK_SH")

    def own(self) -> None:
        """Wait until no other process holds the lock; then hold it alone."""
        self._take("LOCK_EX")

    def try_to_own(self) -> bool:
        """As :meth:`own`, without waiting. Whether it worked."""
        return self._take("LOCK_EX", wait=False)

    def _take(self, kind: str, *, wait: bool = True) -> bool:
        if self._descriptor is None or fcntl is None:
            return True
        mode: int = getattr(fcntl, kind)
        try:
            fcntl.flock(self._descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                return False
            _logger.info("=== Waiting for %s ===", self._who)
            fcntl.flock(self._descriptor, mode)
        return True

    def __enter__(self) -> Self:
        """Nothing is locked by this."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, which only this user may enter.

    Raises:
        OSError: It cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def open_private(file: Path, mode: str, *, buffering: int = -1) -> IO[bytes]:
    """Open a file; one that is made by this may be read by this user only.

    Raises:
        OSError: It cannot be opened, or made.
    """
    # A path's own `open` has no opener.
    return open(file, mode, buffering=buffering, opener=owner_only)


def owner_only(path: str, flags: int) -> int:
    """The ``opener`` of :func:`open_private`."""
    return os.open(path, flags, 0o600)


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """https://specifications.freedesktop.org/basedir-spec/latest/: state of a user's programs."""
    home = environ.get("HOME")  # a user number without a name, as in many pods, may have none
    state = environ.get("XDG_STATE_HOME") or (
        Path(home, ".local", "state") if home else tempfile.gettempdir()
    )
    return Path(state) / "container-backend"


def write_whole(file: Path, text: str) -> None:
    """Write a file under another name beside it, and give it its own when all of it is there.

    Args:
        file: In a folder that is there. What it was before is replaced.
        text: Its content.

    Raises:
        OSError: It cannot be written.
    """
    whole = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        with open_private(whole, "xb") as opened:
            opened.write(text.encode())
        whole.replace(file)
    except OSError:
        with suppress(OSError):
            whole.unlink()
        raise
