"""Who uses which environment image: locks while it is looked for and built, and a record of use.

Both are files of this user. Two processes that want the same image at the same time build it once,
and none is removed between being found and being used.
"""

from __future__ import annotations

import hashlib
import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from container_backend.file_lock import FileLock, make_private, state_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from container_backend.engine import EngineHost

_logger = logging.getLogger(__name__)

_LOCK: Final = "lock"
_PROJECTS: Final = "projects"
_HASH: Final = re.compile(r"[0-9a-f]{1,64}")


@dataclass(frozen=True)
class Use:
    """What is known of the use of an image.

    Attributes:
        projects: Names of the projects whose runs used it.
        last: When, in seconds since 1970; None for never.
    """

    projects: tuple[str, ...] = ()
    last: float | None = None


@contextmanager
def image_lock(host: EngineHost, environment_hash: str) -> Iterator[FileLock]:
    """The lock of an image: shared by those who use it, alone for who builds or removes it.

    Held by nobody yet; let go of at the end.
    """
    file = _folder(host, environment_hash) / _LOCK
    with FileLock(file, "another process that builds or uses this image") as lock:
        yield lock


def record_use(host: EngineHost, environment_hash: str, project: str) -> None:
    """Write down that a project uses an image, now."""
    file = _folder(host, environment_hash) / _PROJECTS / _file_name(project)
    try:
        make_private(file.parent)
        file.touch(mode=0o600)
    except OSError as error:
        _logger.debug("The use of an image is not on record: %s", error)


def _file_name(project: str) -> str:
    """A name from outside as that of a file, which is no way to another folder."""
    return re.sub(r"^\.", "%2E", quote(project, safe=" "))


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


def _folder(host: EngineHost, environment_hash: str) -> Path:
    if not _HASH.fullmatch(environment_hash):  # it came out of a label, or a tag
        raise ValueError(f"this is no environment hash: {environment_hash!r}")
    engine = hashlib.sha256(host.url.encode()).hexdigest()[:12]
    return state_folder() / "images" / engine / environment_hash
