"""The commit of a project's folder, and the files that differ from the commit."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from container_backend.masking import without_credentials
from container_backend.project.git.repository import (
    GitError,
    View,
    find_repository,
    opened,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from container_backend.project.git.repository import Repository

_logger = logging.getLogger(__package__)
# Git must not look into submodules: it would use their configuration.
_QUESTION: Final = (
    *("status", "--porcelain=v2", "--branch", "-z", "--ignore-submodules=dirty"),
    *("--untracked-files=all", "--ignored=matching", "--", "."),
)
_SUBMODULE: Final = "160000 "
_UNBORN: Final = "(initial)"
# Number of words before the path in an entry: https://git-scm.com/docs/git-status#_changed_tracked_entries
_WORDS: Final = {"1": 8, "2": 9, "u": 10, "?": 1, "!": 1}


@dataclass(frozen=True)
class GitTree:
    """A folder in a git repository that has a commit.

    Attributes:
        repository: The root of the repository.
        subdirectory: The folder, relative to the root; empty for the root.
        commit: The full commit id.
        others: Paths in the folder that differ from the commit: changed, added, untracked or
            ignored; a folder stands for all its files.
        lacks: True if files of the commit are missing.
        is_dirty: True if ``others`` has paths that git does not ignore.
    """

    repository: Path
    subdirectory: str
    commit: str
    others: frozenset[str]
    lacks: bool
    is_dirty: bool

    def has_all_of(self, files: Iterable[str]) -> bool:
        """True if the commit has exactly these files; they are read only if needed."""
        if self.lacks:
            return False
        return not self.others or not any(self._is_other(path) for path in files)

    def _is_other(self, path: str) -> bool:
        pure = PurePosixPath(path)
        return any(str(each) in self.others for each in (pure, *pure.parents))


def read_git_tree(repository: Repository | None, directory: Path) -> GitTree | None:
    """Ask git for the state of a folder; None without repository, or if git fails.

    Args:
        repository: The repository that has the folder in its work tree.
        directory: The folder, resolved.
    """
    if repository is None:
        return None
    try:
        with opened(repository) as view:
            tree = parse_status(repository.root, directory, view.ask(*_QUESTION, folder=directory))
            if tree is None:
                return None
            listed = view.ask("ls-files", "--stage", "-z", "--", ".", folder=directory)
            if tree.is_dirty:
                _warn_of_filters(view)
    except GitError as error:
        _logger.debug("git failed in '%s': %s", directory, without_credentials(str(error)))
        return None
    entries = (entry.partition("\t") for entry in listed.split("\0"))
    submodules = [path for about, _, path in entries if about.startswith(_SUBMODULE)]
    return _with_submodules(tree, directory, submodules)


def parse_status(root: Path, directory: Path, said: str) -> GitTree | None:
    """Parse the output of git; None for a repository without a commit. Pure."""
    subdirectory = directory.relative_to(root).as_posix() if directory != root else ""
    commit, lacks, is_dirty, others = _UNBORN, False, False, set()
    entries = iter(said.split("\0"))
    for entry in entries:
        kind = entry[:1]
        if entry.startswith("# branch.oid "):
            commit = entry.rpartition(" ")[2]
        if kind not in _WORDS:
            continue
        path = entry.split(" ", _WORDS[kind])[-1].rstrip("/")
        if kind == "2":
            next(entries)  # the previous name
        lacks = lacks or kind == "2" or (kind in "1u" and "D" in entry[2:4])
        is_dirty = is_dirty or kind != "!"
        if f"{subdirectory}/".startswith(f"{path}/"):
            others.add(".")  # the folder itself, or a parent, is untracked
        else:
            others.add(path.removeprefix(f"{subdirectory}/") if subdirectory else path)
    if commit == _UNBORN:
        return None
    return GitTree(root, subdirectory, commit, frozenset(others), lacks, is_dirty)


def _with_submodules(tree: GitTree, directory: Path, paths: Iterable[str]) -> GitTree:
    """Add the files that differ from the commits of submodules."""
    for path in paths:
        folder = directory / path
        if not folder.is_dir() or (not (folder / ".git").exists() and not any(folder.iterdir())):
            continue  # not checked out
        inner = None
        if folder.resolve() == folder:  # a link may point anywhere, even to a parent
            inner = read_git_tree(find_repository(folder, within=folder), folder)
        if inner is None:
            tree = replace(tree, others=tree.others | {path}, is_dirty=True)
            continue
        inside = {path if other == "." else f"{path}/{other}" for other in inner.others}
        tree = replace(
            tree,
            others=tree.others | inside,
            lacks=tree.lacks or inner.lacks,
            is_dirty=tree.is_dirty or inner.is_dirty,
        )
    return tree


def _warn_of_filters(view: View) -> None:
    """Warn of filters that only the repository names: files may look changed without them."""
    missing = [name for name in _filters(view.settings) if not _has_filter(view, name)]
    if missing:
        name = missing[0]
        program = view.settings.get(f"filter.{name}.clean", "PROGRAM")
        _logger.warning(
            "The configuration of the repository '%s' names the filter '%s'. The filter is not run, "
            "because a repository may name any program. So its files count as changed. If you trust "
            "the filter, add it to your own configuration: git config --global filter.%s.clean '%s'",
            view.repository.root, name, name, program,
        )  # fmt: skip


def _filters(settings: Mapping[str, str]) -> list[str]:
    keys = (key for key in settings if key.startswith("filter."))
    ours = (key for key in keys if key.endswith((".clean", ".process")))
    return list(dict.fromkeys(key.partition(".")[2].rpartition(".")[0] for key in ours))


def _has_filter(view: View, name: str) -> bool:
    """True if the user's own configuration has the filter."""
    kinds = ("clean", "process")
    return any(view.tells("config", "--get", f"filter.{name}.{kind}") for kind in kinds)
