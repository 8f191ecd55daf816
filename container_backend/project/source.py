"""Where a project comes from: a folder, a git repository, a zip file → a folder on this disk."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from container_backend.errors import ContainerBackendError, InvalidProject
from container_backend.masking import without_credentials
from container_backend.naming import TEMPORARY_PREFIX
from container_backend.project.git import fetch_commit, find_repository, opened, repository_at

if TYPE_CHECKING:
    from contextlib import ExitStack

    from container_backend.project.git import Repository

_logger = logging.getLogger(__package__)
# What can only be an address: `https://…`, `ssh://…`, `git@host:user/project.git`.
_ADDRESS = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://|[^/\\\s]+@[^/\\\s]+:", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """A project's folder.

    Attributes:
        directory: Absolute.
        is_fetched: Whether it came from elsewhere: from an address, or out of an archive.
        temporary: The folder that was made for it; None where it is the caller's own.
        repository: Has the folder in its work tree; None for an archive, even for one whose files
            look like a repository.
    """

    directory: Path
    is_fetched: bool
    temporary: Path | None = None
    repository: Repository | None = None


def fetch(uri: str, version: str | None, needed: ExitStack) -> Source:
    """The project's folder.

    Addresses are read by MLflow's own functions (``mlflow.projects.utils``). A ``version`` of a
    repository on this disk is fetched into a folder of its own: MLflow checks it out in the
    caller's working tree.

    Args:
        uri: A folder, ``file://``, git or zip address, with an optional ``#subdirectory``.
        version: A branch, tag or commit, for git.
        needed: Removes what was downloaded when it is closed.

    Raises:
        InvalidProject: There is no such project or version, or it cannot be fetched.
    """
    if version is None and not _ADDRESS.match(uri) and Path(uri).is_dir():
        return _local(Path(uri).resolve())  # the usual case, without MLflow
    from mlflow.projects import utils

    location, subdirectory = utils._parse_subdirectory(uri)
    is_zip = utils._is_zip_uri(location) is not None
    path = Path(utils._parse_file_uri(location))
    if not _ADDRESS.match(location) and not path.exists():
        raise InvalidProject(
            f"There is no project at '{location}'.",
            remedy="Give a folder, a zip file, or the address of a git repository.",
        )
    if path.is_file() and not is_zip:
        raise InvalidProject(f"'{location}' is a file; a project is a folder or a zip file.")
    if path.exists() and not is_zip and version is None:
        return _local(_inside(path.resolve(), subdirectory, uri))
    root = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX)).resolve()
    # A program may have written to a folder of it, as a user of its own.
    needed.callback(shutil.rmtree, root, ignore_errors=True)
    _logger.info("=== Fetching project from %s ===", without_credentials(uri))
    try:
        if is_zip:
            _unzip(location, path, root)
        else:
            _fetch_repository(location, path.resolve() if path.exists() else None, version, root)
    except ContainerBackendError:
        raise
    except Exception as error:
        # Git, MLflow, zipfile and requests each raise their own kind.
        raise InvalidProject(
            f"The project '{without_credentials(uri)}'"
            + (f" at version '{version}'" if version else "")
            + f" cannot be fetched: {_last_lines(error)}"
        ) from error
    is_fetched = is_zip or not path.exists()
    directory = _inside(root, subdirectory, uri)
    repository = None if is_zip else find_repository(directory, within=root)
    return Source(directory, is_fetched, root, repository)


def _local(directory: Path) -> Source:
    return Source(directory, is_fetched=False, repository=find_repository(directory))


def is_git_address(uri: str) -> bool:
    """Whether a text can only be the address of a project elsewhere, and not an option of git's."""
    return _ADDRESS.match(uri) is not None and not uri.startswith("-")


def _fetch_repository(location: str, path: Path | None, version: str | None, root: Path) -> None:
    if path is None:
        fetch_commit(location, version, root)
        return
    repository = repository_at(path)
    if repository is None:
        raise InvalidProject(
            f"'{location}' is not a git repository, so it has no version '{version}'."
        )
    with opened(repository) as view:
        fetch_commit(str(path), version, root, view.directory)


def _unzip(location: str, path: Path, root: Path) -> None:
    from mlflow.projects import utils

    archive = path if path.exists() else utils._fetch_zip_repo(location)
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise InvalidProject(
                    f"The archive '{location}' has an entry outside of it: '{name}'."
                )
    utils._unzip_repo(archive, root)
    # Programs that the caller or the container starts would find a repository of another's.
    for found in list(root.rglob(".git")):
        shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()
    entries = list(root.iterdir())
    # Archives of forges hold one folder, named after the repository, and everything in it.
    if len(entries) == 1 and entries[0].is_dir():
        for entry in list(entries[0].iterdir()):
            shutil.move(entry, root / entry.name)


def _inside(root: Path, subdirectory: str, uri: str) -> Path:
    folder = (root / subdirectory).resolve()
    if not folder.is_relative_to(root):
        raise InvalidProject(f"The subdirectory '{subdirectory}' of '{uri}' is outside of it.")
    if not folder.is_dir():
        raise InvalidProject(f"There is no folder '{subdirectory or root}' in the project '{uri}'.")
    return folder


def _last_lines(error: Exception, count: int = 4) -> str:
    """The end of an error's text: git says first what was run and last what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return without_credentials("\n".join(lines[-count:])) or type(error).__name__
