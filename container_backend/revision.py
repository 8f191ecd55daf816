"""Where a project's files come from, as git and the project itself say. Only for people."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from container_backend.errors import InvalidInput
from container_backend.masking import without_credentials
from container_backend.pyproject import licence_of

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS: Final = 10
_DIRTY: Final = "-dirty"


@dataclass(frozen=True)
class Revision:
    """What is known of some files.

    Attributes:
        commit: Of git, with ``-dirty`` where files differ from it; empty where there is none.
        source: The address of the repository, without credentials; empty where there is none.
        licence: What ``pyproject.toml`` names; empty for nothing.
    """

    commit: str = ""
    source: str = ""
    licence: str = ""


def revision_of(directory: Path) -> Revision:
    """What is known of a project's files. No git, or no repository, is no error."""
    commit = _git(directory, "rev-parse", "--verify", "HEAD")
    if commit and _git(directory, "status", "--porcelain", "--", "."):
        commit += _DIRTY
    try:
        licence = licence_of(directory)
    except InvalidInput:
        licence = ""
    source = _git(directory, "config", "--get", "remote.origin.url") if commit else ""
    # A path of this machine would mean nothing elsewhere.
    is_address = "://" in source and not source.startswith("file:")
    source = source if is_address or "@" in source else ""
    return Revision(commit, without_credentials(source), licence)


def _git(directory: Path, *words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(directory), *words],  # noqa: S607 whichever git the user has
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""
