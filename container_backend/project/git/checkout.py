"""The commit, address and branch of a project's repository, for MLflow's tags."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from container_backend.masking import without_credentials
from container_backend.project.address import file_path
from container_backend.project.git.repository import (
    GitError,
    find_repository,
    opened,
    remote_address,
)

if TYPE_CHECKING:
    from container_backend.project.git.repository import Repository, View

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
    """Ask git for commit, address and branch; they are empty, with a warning, if git fails.

    Whose the repository is does not matter: git reads a view of it, and none of its settings.

    Args:
        repository: The repository that has the folder in its work tree.
        directory: The project's folder, resolved.
        version: The requested version.
    """
    if repository is None:
        return Checkout()
    try:
        with opened(repository) as view:
            commit = _commit(view)
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
        _logger.warning(
            "'%s' is in a git repository, whose commit cannot be read, so it is no tag of the run: %s",
            directory,
            without_credentials(str(error)),
        )
        return Checkout()


def _commit(view: View) -> str:
    """The full id of the current commit; empty in a repository without one.

    Raises:
        GitError: The commit cannot be read.
    """
    named = view.tells("rev-parse", "--verify", "--quiet", "HEAD")
    return view.ask("rev-parse", "--verify", f"{named}^{{commit}}").strip() if named else ""


def folders_above(directory: Path) -> list[Path]:
    """The folders above a project's folder in its repository, the nearest first.

    Args:
        directory: The project's folder, resolved.
    """
    repository = find_repository(directory)
    if repository is None:
        return []
    return [folder for folder in directory.parents if folder.is_relative_to(repository.root)]


def day_of_commit(directory: Path) -> str | None:
    """The day of the commit that a project's folder is of, ``2023-05-01``; None without a commit.

    Args:
        directory: The project's folder, resolved.
    """
    repository = find_repository(directory)
    commit = read_checkout(repository, directory).commit
    if repository is None or not commit:
        return None
    try:
        with opened(repository) as view:
            seconds = view.tells(
                "show", "--no-patch", "--no-show-signature", "--format=%ct", commit
            )
    except GitError as error:
        _logger.debug("git failed in '%s': %s", directory, error)
        return None
    try:
        day = datetime.fromtimestamp(int(seconds or ""), tz=timezone.utc)
        return f"{day + timedelta(days=1) - timedelta(days=1):%Y-%m-%d}"  # that there is a day after it
    except (ValueError, OverflowError, OSError):  # a commit may name any time
        return None


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
