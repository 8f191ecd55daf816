"""Questions to git about a repository. Git never runs a program that a repository names.

A repository's configuration may name programs (filters, ``core.fsmonitor``, ``sshCommand``, …), and
a downloaded project may contain a repository. So git never reads that configuration: it works on a
view of the repository, a folder of links to the objects, references and index, with a
configuration made here. The user's own configuration applies.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_logger = logging.getLogger(__package__)
_QUESTION_SECONDS: Final = 60
# The last two are defaults since git 2.38.1: the address of a submodule names no folder of this
# machine, and no program to fetch with.
OPTIONS: Final = (
    *("-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "protocol.file.allow=user", "-c", "protocol.ext.allow=never"),
    "--no-optional-locks",
)
# Variables of a hook or another git would point to its repository. The list is that of `git rev-parse
# --local-env-vars`, without the variables for the user's configuration.
_LOCAL_VARIABLES: Final = frozenset({
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIR",
    "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
})  # fmt: skip
# The keys that a view keeps of the repository's configuration: the format of objects and files.
_FORMAT: Final = frozenset({
    "core.repositoryformatversion", "extensions.objectformat", "extensions.refstorage",
    "core.autocrlf", "core.eol", "core.filemode", "core.ignorecase", "core.precomposeunicode",
    "core.sparsecheckout", "core.sparsecheckoutcone", "core.symlinks",
})  # fmt: skip
_PLAIN_VALUE: Final = re.compile(r"[A-Za-z0-9]*")
# The files of a view that are common to all work trees, and those of one work tree.
_COMMON: Final = ("info", "objects", "packed-refs", "refs", "reftable", "shallow")
_OWN: Final = ("index", "sharedindex.*")
_MOST_BYTES: Final = 4096


class GitError(Exception):
    """Git has failed, does not answer in time, or is not installed."""


@dataclass(frozen=True)
class Repository:
    """A git repository on this machine.

    Attributes:
        root: The work tree; for a bare repository, the repository itself.
        directory: The folder with index and ``HEAD``, usually ``.git``.
        common: The folder with objects and configuration; not ``directory`` in a linked work tree.
    """

    root: Path
    directory: Path
    common: Path


def find_repository(directory: Path, within: Path | None = None) -> Repository | None:
    """The repository with a folder in its work tree; None if no parent has a ``.git``.

    Args:
        directory: The folder, resolved.
        within: The last parent to look at.
    """
    for folder in (directory, *directory.parents):
        if (folder / ".git").exists():
            return _repository(folder, folder / ".git")
        if folder == within:
            break
    return None


def repository_at(path: Path) -> Repository | None:
    """The repository with this root, also a bare one."""
    if (path / ".git").exists():
        return _repository(path, path / ".git")
    is_bare = (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()
    return Repository(path, path, path) if is_bare else None


def _repository(root: Path, directory: Path) -> Repository | None:
    try:
        if directory.is_file():
            said = _text(directory).partition("gitdir:")[2].strip()
            directory = (root / said).resolve()
        common = _text(directory / "commondir").strip()
    except OSError as error:
        _warn_of_unreadable(directory, error.strerror or str(error))
        return None
    return Repository(root, directory, (directory / common).resolve() if common else directory)


@cache  # said once for each repository
def _warn_of_unreadable(directory: Path, why: str) -> None:
    _logger.warning(
        "The git repository '%s' cannot be read, so its commit is no tag of the run: %s",
        directory,
        why,
    )


def _text(file: Path) -> str:
    """The text of a small file; empty if there is no such file."""
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return os.fsdecode(opened.read(_MOST_BYTES))


@dataclass(frozen=True)
class View:
    """A view of a repository for git.

    Attributes:
        directory: The folder that git takes for the repository.
        settings: The repository's own configuration, key → last value. Git does not see it.
    """

    repository: Repository
    directory: Path
    settings: Mapping[str, str]

    def ask(self, *words: str, folder: Path | None = None) -> str:
        """The output of a git command, with undecodable bytes as surrogates.

        Args:
            folder: A folder in the work tree; default: its root.

        Raises:
            GitError: Git fails or is missing.
        """
        places = {"GIT_DIR": str(self.directory)}
        if self.repository.root != self.repository.directory:  # not a bare repository
            places["GIT_WORK_TREE"] = str(self.repository.root)
        return run_git(*words, folder=folder or self.repository.root, variables=places)

    def tells(self, *words: str, folder: Path | None = None) -> str | None:
        """The output of a git command without the end of the line; None if git fails."""
        try:
            return self.ask(*words, folder=folder).strip()
        except GitError as error:
            _logger.debug("git failed in '%s': %s", self.repository.root, error)
            return None


@contextmanager
def opened(repository: Repository) -> Iterator[View]:
    """A view of a repository, removed at the end of the context.

    Raises:
        GitError: The repository or its configuration cannot be read, or git is missing.
    """
    with tempfile.TemporaryDirectory(prefix="container-backend-git-") as made:
        view = Path(made).resolve()
        try:
            _link(repository, view)
        except OSError as error:
            raise GitError(f"'{repository.directory}' cannot be read: {error}") from error
        settings = _settings(repository, view)
        (view / "config").write_text(_config(settings), encoding="utf-8")
        yield View(repository, view, settings)


def _link(repository: Repository, view: Path) -> None:
    # Git refuses a HEAD that is a link to another place than refs/.
    (view / "HEAD").write_bytes(os.fsencode(_text(repository.directory / "HEAD")))
    for name in _COMMON:
        if (repository.common / name).exists():
            (view / name).symlink_to(repository.common / name)
    for pattern in _OWN:
        for file in repository.directory.glob(pattern):
            (view / file.name).symlink_to(file)


def _settings(repository: Repository, view: Path) -> dict[str, str]:
    file = repository.common / "config"
    if not file.is_file():
        return {}
    listed = run_git(
        *("config", "--file", str(file), "--no-includes", "--null", "--list"),
        folder=view,
        variables={"GIT_DIR": str(view)},
    )
    pairs = (entry.partition("\n") for entry in listed.split("\0") if entry)
    return {key: value if separator else "true" for key, separator, value in pairs}


def _config(settings: Mapping[str, str]) -> str:
    lines = []
    for key in sorted(_FORMAT & settings.keys()):
        section, _, name = key.partition(".")
        if _PLAIN_VALUE.fullmatch(settings[key]):
            lines.append(f"[{section}]\n\t{name} = {settings[key]}\n")
    return "".join(lines)


def remote_address(settings: Mapping[str, str]) -> str:
    """The address of the first remote in a configuration; empty without remotes."""
    keys = (key for key in settings if key.startswith("remote.") and key.endswith(".url"))
    return next((settings[key] for key in keys), "")


def own_variables() -> dict[str, str]:
    """The variables for git, without those that point to another repository."""
    own = {name: value for name, value in os.environ.items() if name not in _LOCAL_VARIABLES}
    return {**own, "GIT_NO_LAZY_FETCH": "1"}


def run_git(
    *words: str,
    folder: Path,
    variables: Mapping[str, str | None] | None = None,
    seconds: float = _QUESTION_SECONDS,
) -> str:
    """Run git with the user's own configuration, and return the output.

    Args:
        folder: The working directory.
        variables: Further environment variables; None removes one.
        seconds: The time limit.

    Raises:
        GitError: Git fails, exceeds the time limit, or is missing.
    """
    environ = {**own_variables(), **(variables or {})}
    try:
        done = subprocess.run(  # noqa: S603 our own arguments
            ["git", *OPTIONS, *words],  # noqa: S607 the git on the user's path
            cwd=folder,
            env={name: value for name, value in environ.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise GitError("git is not installed") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise GitError(str(error)) from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise GitError(said or f"git {words[0]} ended with exit code {done.returncode}")
    return os.fsdecode(done.stdout)
