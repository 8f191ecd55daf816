"""Where a project's files come from, as git and the project itself say. Only for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from container_backend.environment import licence_of
from container_backend.errors import InvalidInput
from container_backend.project import read_checkout, read_git_tree

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.project import Repository

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


def revision_of(repository: Repository | None, directory: Path) -> Revision:
    """What is known of a project's files. No git, or no repository, is no error."""
    try:
        licence = licence_of(directory)
    except InvalidInput:
        licence = ""
    tree = read_git_tree(repository, directory)
    if tree is None:
        return Revision(licence=licence)
    commit = tree.commit + (_DIRTY if tree.is_dirty else "")
    source = read_checkout(repository, directory).address
    # A path of this machine would mean nothing elsewhere.
    is_address = "://" in source and not source.startswith("file:")
    return Revision(commit, source if is_address or "@" in source else "", licence)
