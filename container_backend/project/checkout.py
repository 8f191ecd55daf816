"""The commit, address and branch of a project's repository, for MLflow's tags."""

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
    """The state of a repository for MLflow's tags.

    Attributes:
        commit: Empty if there is no commit, or git ignores the project's folder.
        address: The address of the first remote, without credentials; empty without remotes.
        is_branch: True if the requested version is a branch.
    """

    commit: str = ""
    address: str = ""
    is_branch: bool = False


def read_checkout(
    repository: Repository | None, directory: Path, version: str | None = None
) -> Checkout:
    """Ask git for commit, address and branch; they are empty if git fails.

    Args:
        repository: The repository that has the folder in its work tree.
        directory: The project's folder, resolved.
        version: The requested version.
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
        _logger.debug("git failed in '%s': %s", directory, error)
        return Checkout()


def source_name(uri: str) -> str:
    """The source name of a project in MLflow: ``file://REPOSITORY#SUBDIRECTORY``.

    A folder without repository and a zip file are named by their path; other addresses stay.
    """
    path = file_path(uri)
    if not Path(path).exists():
        return uri
    folder = Path(os.path.abspath(path))  # noqa: PTH100 links stay, as in MLflow
    repository = find_repository(folder) if folder.is_dir() and "#" not in path else None
    if repository is None:
        return str(folder)
    inside = folder.relative_to(repository.root).as_posix()
    return f"file://{repository.root}" + ("" if inside == "." else f"#{inside}")
