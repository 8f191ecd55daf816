"""Fetch a project from a folder, a git repository or a zip file into a folder on this disk."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tempfile
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from container_backend.errors import ContainerBackendError, InvalidProject
from container_backend.labels_and_tags import TEMPORARY_PREFIX
from container_backend.machine import MOST_FILES, human_size, most_unpacked
from container_backend.masking import without_credentials
from container_backend.project.address import Address, file_path, parse_address
from container_backend.project.downloads import MOST_OF_OTHERS, download_over_http
from container_backend.project.git import (
    UnknownVersion,
    fetch_commit,
    fetch_publicly,
    find_repository,
    opened,
    remote_address,
    repository_at,
    run_git,
)
from container_backend.project.snapshot import link_outside

if TYPE_CHECKING:
    from container_backend.project.git import Repository

_logger = logging.getLogger(__package__)
# Of a path, in bytes: PATH_MAX of Linux.
_LONGEST_TARGET: Final = 4096


@dataclass(frozen=True)
class Source:
    """The folder of a project.

    Attributes:
        directory: The absolute path.
        is_fetched: True for a project from an address or an archive.
        temporary: The temporary folder of the project; None for a folder of the user.
        repository: The repository that has the folder in its work tree; None for an archive, even
            if it contains a repository.
        fetched: The folder of all that was fetched, with the project in it; None for a folder of the user.
    """

    directory: Path
    is_fetched: bool
    temporary: Path | None = None
    repository: Repository | None = None
    fetched: Path | None = None


def fetch(
    uri: str,
    version: str | None,
    needed: ExitStack,
    *,
    trust: bool = False,
    is_typed: bool = True,
) -> Source:
    """Find or fetch the folder of a project.

    A ``version`` of a repository on this disk is fetched into a new folder; MLflow would change the
    user's work tree.

    Args:
        uri: A folder, or a ``file://``, git or zip address, with an optional ``#subdirectory``.
        version: Branch, tag or commit of a git repository.
        needed: Removes temporary folders when it is closed.
        trust: Submodules of an address are fetched with the user's logins, too.
        is_typed: The user has typed the address. One that a program names is fetched without the user's
            logins, and from a public server, unless it is trusted.

    Raises:
        InvalidProject: There is no such project or version, or the fetch fails.
    """
    if version is None and not Address(uri, "").is_elsewhere and Path(uri).is_dir():
        return _local(Path(uri).resolve())  # also a folder with '#' in its name
    address = parse_address(uri)
    path = address.path
    if not address.is_elsewhere and not path.exists():
        raise InvalidProject(
            f"There is no project at '{address.location}'.",
            remedy="Give a folder, a zip file, or the address of a git repository.",
        )
    if path.is_file() and not address.is_zip:
        raise InvalidProject(
            f"'{address.location}' is a file; a project is a folder or a zip file."
        )
    if path.exists() and not address.is_zip and version is None:
        return _local(_inside(path.resolve(), address.subdirectory, uri))
    root = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX)).resolve()
    # Errors are ignored: the program may have written files as another user.
    needed.callback(shutil.rmtree, root, ignore_errors=True)
    _fetch_into(root, address, uri, version, trust=trust, is_typed=is_typed)
    is_fetched = address.is_zip or not path.exists()
    if is_fetched:
        _check_links(root, uri)
    directory = _inside(root, address.subdirectory, uri)
    repository = None if address.is_zip else find_repository(directory, within=root)
    return Source(directory, is_fetched, root, repository, root)


def _fetch_into(
    root: Path, address: Address, uri: str, version: str | None, *, trust: bool, is_typed: bool
) -> None:
    """Raises InvalidProject."""
    _logger.info("=== Fetching project from %s ===", without_credentials(uri))
    try:
        if address.is_zip:
            _unzip(address, root, is_public=not (is_typed or trust))
        elif is_typed or trust:
            _fetch_repository(address, version, root, trust=trust)
        else:
            fetch_publicly(address.location, version, root)
    except ContainerBackendError:
        raise
    except UnknownVersion as error:
        raise InvalidProject(
            f"Unable to checkout version '{version}' of the git repository "
            f"'{without_credentials(address.location)}': it has no such branch, tag or commit.",
            remedy="Check the version. A commit that is in no branch any more cannot be fetched.",
        ) from error
    except Exception as error:  # git, zipfile and requests each raise their own kind
        raise InvalidProject(
            f"The project '{without_credentials(uri)}'"
            + (f" at version '{version}'" if version else "")
            + f" cannot be fetched: {_last_lines(error)}"
        ) from error


def _local(directory: Path) -> Source:
    return Source(directory, is_fetched=False, repository=find_repository(directory))


def _fetch_repository(address: Address, version: str | None, root: Path, *, trust: bool) -> None:
    if not address.path.exists():
        fetch_commit(address.location, version, root, with_logins=trust)
        return
    path = address.path.resolve()
    repository = repository_at(path)
    if repository is None:
        raise InvalidProject(
            f"'{address.location}' is not a git repository, so it has no version '{version}'."
        )
    with opened(repository) as view:
        fetch_commit(str(path), version, root, view.directory)
        # For MLflow's tag: it fetches into this repository, from its first remote, or else from the
        # address as it was given.
        given = str(path) if address.location == file_path(address.location) else address.location
        is_bare = repository.root == repository.directory  # MLflow makes another one inside of it
        remote = "" if is_bare else remote_address(view.settings)
        run_git("remote", "set-url", "--", "origin", remote or given, folder=root)


def _unzip(address: Address, root: Path, *, is_public: bool) -> None:
    with ExitStack() as needed:
        file = address.path
        if not file.exists():
            file = Path(needed.enter_context(tempfile.NamedTemporaryFile()).name)
            download_over_http(address.location, file, most=MOST_OF_OTHERS, is_public=is_public)
        archive = needed.enter_context(zipfile.ZipFile(file))
        _check_size(address, file, archive)
        for name in archive.namelist():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise InvalidProject(
                    f"The archive '{address.location}' has an entry outside its folder: '{name}'."
                )
        unpacked = {archive.extract(info, root): info for info in archive.infolist()}
    # Git would take a repository in the archive for the user's own.
    for found in list(root.rglob(".git")):
        shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()
    for path, info in unpacked.items():
        _restore(Path(path), info.external_attr >> 16)
    entries = list(root.iterdir())
    # Archives of GitHub and others have a single folder, named after the repository.
    if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink():
        for entry in list(entries[0].iterdir()):
            shutil.move(entry, root / entry.name)


def _restore(path: Path, mode: int) -> None:
    """Make a file what it was on a machine of Unix: a program, or a link, whose target the file has.

    https://infozip.sourceforge.net/FAQ.html: the upper half of the external attributes.
    """
    if not path.is_file():
        return
    if stat.S_ISLNK(mode) and path.stat().st_size <= _LONGEST_TARGET:
        target = os.fsdecode(path.read_bytes())
        path.unlink()
        path.symlink_to(target)
    elif mode & 0o111 and not stat.S_ISLNK(mode):
        path.chmod(path.stat().st_mode | mode & 0o111)


def _check_size(address: Address, file: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that is made to fill a disk: far more than its files are worth."""
    unpacked = sum(entry.file_size for entry in archive.infolist())
    most = most_unpacked(file.stat().st_size)
    if (count := len(archive.infolist())) > MOST_FILES:
        raise InvalidProject(
            f"The archive '{address.location}' has {count:,} files; at most {MOST_FILES:,} are unpacked.",
            remedy="Unpack it yourself, and give the folder.",
        )
    if unpacked > most:
        raise InvalidProject(
            f"The archive '{address.location}' would unpack to {human_size(unpacked)}; "
            f"at most {human_size(most)} are unpacked for an archive of its size.",
            remedy="Unpack it yourself, and give the folder.",
        )


def _check_links(root: Path, uri: str) -> None:
    """Refuse links to other files of this machine, which would be read as files of the project."""
    if (path := link_outside(root)) is not None:
        raise InvalidProject(
            f"'{path.relative_to(root)}' in the project '{without_credentials(uri)}' is a "
            f"link to '{path.readlink()}', outside of the project.",
            remedy="Clone it yourself, correct the link, and give the folder.",
        )


def _inside(root: Path, subdirectory: str, uri: str) -> Path:
    folder = (root / subdirectory).resolve()
    if not folder.is_relative_to(root):
        raise InvalidProject(f"The subdirectory '{subdirectory}' is outside the project '{uri}'.")
    if not folder.is_dir():
        raise InvalidProject(f"There is no folder '{subdirectory or root}' in the project '{uri}'.")
    return folder


def _last_lines(error: Exception, count: int = 4) -> str:
    """The end of an error's text: the last lines of git have the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return without_credentials("\n".join(lines[-count:])) or type(error).__name__
