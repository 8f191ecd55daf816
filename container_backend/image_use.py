"""Who uses which environment image: locks while it is looked for and built, and a record of use.

Both are files of this user. Two processes that want the same image at the same time build it once,
and none is removed between being found and being used.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container_backend.engine import EngineHost

_logger = logging.getLogger(__name__)

_LOCK: Final = "lock"
_PROJECTS: Final = "projects"


@dataclass(frozen=True)
class Use:
    """What is known of the use of an image.

    Attributes:
        projects: Names of the projects whose runs used it.
        last: When, in seconds since 1970; None for never.
    """

    projects: tuple[str, ...] = ()
    last: float | None = None


class ImageLock:
    """A lock on an environment's image: shared by those who use it, alone for who builds it."""

    def __init__(self, file: Path) -> None:
        """Nothing is locked yet.

        Args:
            file: The lock; made where it is not there. One that cannot be made locks nothing.
        """
        self._descriptor: int | None = None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            _logger.debug("No lock on %s: %s", file, error)

    def share(self) -> None:
        """Wait for who builds or removes it, then hold both off."""
        self._take("LOCK_SH")

    def own(self) -> None:
        """Wait until nobody else uses, builds or removes it; then hold all of them off."""
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
            _logger.info("=== Waiting for another process that builds or uses this image ===")
            fcntl.flock(self._descriptor, mode)
        return True

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def image_lock(host: EngineHost, environment_hash: str) -> Iterator[ImageLock]:
    """The lock of an image, held by nobody yet; let go of at the end."""
    lock = ImageLock(_folder(host, environment_hash) / _LOCK)
    try:
        yield lock
    finally:
        lock.close()


def record_use(host: EngineHost, environment_hash: str, project: str) -> None:
    """Write down that a project uses an image, now."""
    file = _folder(host, environment_hash) / _PROJECTS / quote(project, safe=" ")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        _logger.debug("The use of an image is not on record: %s", error)


def use_of(host: EngineHost, environment_hash: str) -> Use:
    """What is known of the use of an image by this user."""
    try:
        files = sorted((_folder(host, environment_hash) / _PROJECTS).iterdir())
        last = max((file.stat().st_mtime for file in files), default=None)
    except OSError:
        return Use()
    return Use(tuple(unquote(file.name) for file in files), last)


def forget_use(host: EngineHost, environment_hash: str) -> None:
    """The image is gone; so is its record. The lock's file stays: somebody may be waiting."""
    folder = _folder(host, environment_hash) / _PROJECTS
    try:
        for file in folder.iterdir():
            file.unlink()
    except OSError as error:
        _logger.debug("The record of an image stays: %s", error)


def _folder(
    host: EngineHost, environment_hash: str, environ: Mapping[str, str] = os.environ
) -> Path:
    """https://specifications.freedesktop.org/basedir-spec/latest/: state of a user's programs."""
    home = environ.get("HOME")  # a user number without a name, as in many pods, may have none
    state = environ.get("XDG_STATE_HOME") or (
        Path(home, ".local", "state") if home else tempfile.gettempdir()
    )
    engine = hashlib.sha256(host.url.encode()).hexdigest()[:12]
    return Path(state) / "container-backend" / "images" / engine / environment_hash
