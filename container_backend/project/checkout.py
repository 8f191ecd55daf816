"""The commit, the address and the branch that MLflow writes down of a project's repository."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from container_backend.masking import without_credentials
from container_backend.project.address import file_path
from container_backend.project.git import GitError, find_repository, opened, remote_address

if TYPE_CHECKING:
    from container_backend.project.git import Repository

_logger = logging.getLogger(__package__)


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


def source_name(uri: str) -> str:
    """What MLflow writes down as a project's source: ``file://REPOSITORY#SUBDIRECTORY``.

    The path of a folder in no repository and of a zip file; everything else as it was given.
    """
    path = file_path(uri)
    if not Path(path).exists():
        return uri
    folder = Path(os.path.abspath(path))  # noqa: PTH100 without following links, as MLflow
    repository = find_repository(folder) if folder.is_dir() and "#" not in path else None
    if repository is None:
        return str(folder)
    inside = folder.relative_to(repository.root).as_posix()
    return f"file://{repository.root}" + ("" if inside == "." else f"#{inside}")
