"""Every question to git, and every fetch: no program that a repository names is run.

A repository's own configuration may name programs (filters, ``core.fsmonitor``, ``sshCommand``, …),
and a project from elsewhere may bring one. So git never reads it: it is given a view of the
repository, a folder of links to its objects, references and index, with a configuration made here.
The user's own configuration stays in force.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_logger = logging.getLogger(__package__)
_QUESTION_SECONDS: Final = 60
# A submodule's address is fetched by no other program, and is no folder of this machine: what newer
# versions of git do by default (2.38.1).
_OPTIONS: Final = (
    *("-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "protocol.file.allow=user", "-c", "protocol.ext.allow=never"),
    "--no-optional-locks",
)
# `git rev-parse --local-env-vars`, but for the configuration that the user gives by variables: those
# that a hook or another git has set would lead to its repository instead.
_LOCAL_VARIABLES: Final = frozenset({
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIR",
    "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
})  # fmt: skip
# What a view takes over of the repository's configuration: how its objects and files are to be read.
_FORMAT: Final = frozenset({
    "core.repositoryformatversion", "extensions.objectformat", "extensions.refstorage",
    "core.autocrlf", "core.eol", "core.filemode", "core.ignorecase", "core.precomposeunicode",
    "core.sparsecheckout", "core.sparsecheckoutcone", "core.symlinks",
})  # fmt: skip
_PLAIN_VALUE: Final = re.compile(r"[A-Za-z0-9]*")
# What a view shares with all work trees of a repository, and with one of them.
_COMMON: Final = ("info", "objects", "packed-refs", "refs", "reftable", "shallow")
_OWN: Final = ("index", "sharedindex.*")
_MOST_BYTES: Final = 4096
_SHORT_COMMIT: Final = re.compile(r"[0-9a-f]{7,39}")
# `ext::…`: an address that a program of that name is to fetch, by what follows.
_HELPER: Final = re.compile(r"[A-Za-z0-9]+::")


class GitError(Exception):
    """Git has refused, does not answer in time, or is not installed."""


@dataclass(frozen=True)
class Repository:
    """A git repository on this machine.

    Attributes:
        root: Its work tree; of a bare one, the repository itself.
        directory: The folder with its index and ``HEAD``, as a rule ``.git``.
        common: The folder with its objects and configuration; another one for further work trees.
    """

    root: Path
    directory: Path
    common: Path


def find_repository(directory: Path, within: Path | None = None) -> Repository | None:
    """The repository with a folder in its work tree; None for a folder in none.

    Files that are laid out as a repository do not make one: only ``.git`` does.

    Args:
        directory: Resolved.
        within: Look no further up than this folder.
    """
    for folder in (directory, *directory.parents):
        if (folder / ".git").exists():
            return _repository(folder, folder / ".git")
        if folder == within:
            break
    return None


def repository_at(path: Path) -> Repository | None:
    """The repository whose root the user has named; it may be a bare one."""
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
        _logger.debug("'%s' cannot be read: %s", directory, error)
        return None
    return Repository(root, directory, (directory / common).resolve() if common else directory)


def _text(file: Path) -> str:
    """The text of a small file; empty where it is missing or no file."""
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return os.fsdecode(opened.read(_MOST_BYTES))


@dataclass(frozen=True)
class View:
    """A repository as git is shown it.

    Attributes:
        directory: In place of the repository's own.
        settings: The repository's own configuration: the last value by key, as git writes keys.
            Only data: none of it is in force.
    """

    repository: Repository
    directory: Path
    settings: Mapping[str, str]

    def ask(self, *words: str, folder: Path | None = None) -> str:
        """What git answers, undecodable bytes as surrogates.

        Args:
            words: Subcommand and arguments.
            folder: In the work tree; its root by default.

        Raises:
            GitError: It is refused, or git is missing.
        """
        is_bare = self.repository.root == self.repository.directory
        places = {"GIT_DIR": str(self.directory)}
        if not is_bare:
            places["GIT_WORK_TREE"] = str(self.repository.root)
        return run_git(*words, folder=folder or self.repository.root, variables=places)

    def tells(self, *words: str, folder: Path | None = None) -> str | None:
        """As :meth:`ask`, without the line's end; None where git refuses."""
        try:
            return self.ask(*words, folder=folder).strip()
        except GitError as error:
            _logger.debug("git does not tell of '%s': %s", self.repository.root, error)
            return None


@contextmanager
def opened(repository: Repository) -> Iterator[View]:
    """A view of a repository, while the context lasts.

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
    # A link to another place than refs/ is no HEAD to git.
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
    """The address of the first remote of a repository's configuration; empty where it has none."""
    keys = (key for key in settings if key.startswith("remote.") and key.endswith(".url"))
    return next((settings[key] for key in keys), "")


def run_git(
    *words: str,
    folder: Path,
    variables: Mapping[str, str] | None = None,
    seconds: float | None = _QUESTION_SECONDS,
) -> str:
    """Run git with the user's own configuration; gives its output.

    Args:
        words: Subcommand and arguments.
        folder: The folder that it is run in.
        variables: More of them.
        seconds: The time that it may take; None for any.

    Raises:
        GitError: It fails, takes longer, or is missing.
    """
    own = {name: value for name, value in os.environ.items() if name not in _LOCAL_VARIABLES}
    try:
        done = subprocess.run(  # noqa: S603 words of ours
            ["git", *_OPTIONS, *words],  # noqa: S607 whichever git the user has
            cwd=folder,
            env={**own, "GIT_NO_LAZY_FETCH": "1", **(variables or {})},
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


def fetch_commit(
    address: str, version: str | None, root: Path, instead: Path | None = None
) -> None:
    """Fetch a version with its submodules, as ``mlflow.projects.utils._fetch_git_repo`` does.

    Args:
        address: Of the repository; submodules may name theirs beside it.
        version: A branch, a tag or a commit; what the repository has checked out by default.
        root: An empty folder, which becomes a work tree.
        instead: A view of the repository, which is read in its place.

    Raises:
        GitError: Address or version are missing or refused.
    """
    for word in (address, version or ""):
        if word.startswith("-") or _HELPER.match(word):
            raise GitError(f"'{word}' is refused: it is no address and no version")

    def run(*words: str) -> None:
        run_git(*words, folder=root, seconds=None)

    run("init", "--quiet")
    run("remote", "add", "origin", address)
    # The longest match wins, which is the whole address.
    elsewhere = ("-c", f"url.{instead}.insteadOf={address}") if instead is not None else ()
    if version is None:
        run(*elsewhere, "fetch", "--quiet", "--depth=1", "origin", "HEAD")
        run("checkout", "--quiet", "--detach", "FETCH_HEAD")
    elif _SHORT_COMMIT.fullmatch(version):
        # Servers give out branches, tags and whole commit ids; a beginning of one needs them all.
        run(*elsewhere, "fetch", "--quiet", "--tags", "origin")
        run("checkout", "--quiet", version)
    else:
        run(*elsewhere, "fetch", "--quiet", "--depth=1", "--tags", "origin", version)
        run("checkout", "--quiet", version)
    run("submodule", "--quiet", "update", "--init", "--recursive")
