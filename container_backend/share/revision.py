"""Commit, repository and licence of a project, for readers of its image."""

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
    """Commit, repository and licence of a project; an unknown one is empty.

    Attributes:
        commit: With ``-dirty`` if files differ from the commit.
        source: The address of the repository, without credentials.
        licence: The licence in ``pyproject.toml``.
    """

    commit: str = ""
    source: str = ""
    licence: str = ""


def revision_of(repository: Repository | None, directory: Path) -> Revision:
    """The revision of a project; a project without git or repository has an empty one."""
    try:
        licence = licence_of(directory)
    except InvalidInput:
        licence = ""
    tree = read_git_tree(repository, directory)
    if tree is None:
        return Revision(licence=licence)
    commit = tree.commit + (_DIRTY if tree.is_dirty else "")
    source = read_checkout(repository, directory).address
    # A path means nothing on another machine.
    is_address = "://" in source and not source.startswith("file:")
    return Revision(commit, source if is_address or "@" in source else "", licence)
