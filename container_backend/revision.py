"""Where a project's files come from, as git and the project itself say. Only for people."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.errors import InvalidInput
from container_backend.git import GitError, find_repository, opened, remote_address
from container_backend.git_tree import read_git_tree
from container_backend.masking import without_credentials
from container_backend.pyproject import licence_of

if TYPE_CHECKING:
    from container_backend.git import Repository

_logger = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class Checkout:
    """What a repository has checked out, as MLflow's tags say it.

    Attributes:
        commit: Empty where there is none, or git ignores the folder.
        address: Of its first remote, without credentials; empty where it has none.
        is_branch: Whether the version that was asked for is a branch.
    """

    commit: str = ""
    address: str = ""
    is_branch: bool = False


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


def read_checkout(
    repository: Repository | None, directory: Path, version: str | None = None
) -> Checkout:
    """What MLflow writes down of a project's repository; nothing where git does not tell.

    Args:
        repository: Which has the folder in its work tree.
        directory: Resolved.
        version: That was asked for.
    """
    if repository is None:
        return Checkout()
    try:
        with opened(repository) as view:
            commit = view.tells("rev-parse", "--verify", "--quiet", "HEAD^{commit}") or ""
            if (
                commit
                and directory != repository.root
                and view.tells("check-ignore", "--", str(directory))
            ):
                commit = ""
            branch = f"refs/heads/{version}"
            return Checkout(
                commit,
                without_credentials(remote_address(view.settings)),
                bool(version and view.tells("rev-parse", "--verify", "--quiet", branch)),
            )
    except GitError as error:
        _logger.debug("git does not tell of '%s': %s", directory, error)
        return Checkout()


def git_address(path: str) -> str:
    """``file://REPOSITORY#SUBDIRECTORY``, as MLflow says it; the path where there is no repository.

    A zip file is not a part of the repository that it lies in.
    """
    folder = Path(path)
    repository = find_repository(folder) if folder.is_dir() and "#" not in path else None
    if repository is None:
        return path
    inside = folder.relative_to(repository.root).as_posix()
    return f"file://{repository.root}" + ("" if inside == "." else f"#{inside}")
