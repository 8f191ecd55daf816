"""What git says of a project's folder: its commit, and what is not as in it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from container_backend.masking import without_credentials
from container_backend.project.git import GitError, View, find_repository, opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from container_backend.project.git import Repository

_logger = logging.getLogger(__package__)
# Git itself would look into submodules with the configuration that those bring.
_QUESTION: Final = (
    *("status", "--porcelain=v2", "--branch", "-z", "--ignore-submodules=dirty"),
    *("--untracked-files=all", "--ignored=matching", "--", "."),
)
_SUBMODULE: Final = "160000 "
_UNBORN: Final = "(initial)"
# Words of an entry before its path: https://git-scm.com/docs/git-status#_changed_tracked_entries
_WORDS: Final = {"1": 8, "2": 9, "u": 10, "?": 1, "!": 1}


@dataclass(frozen=True)
class GitTree:
    """A folder in a git repository that has a commit.

    Attributes:
        repository: Its root.
        subdirectory: The folder in it; empty for all of it.
        commit: Whole.
        others: Paths in the folder that are not as in the commit: changed, added, not in it, or
            left out of it by ``.gitignore``; a folder stands for all that is in it.
        lacks: Whether files of the commit are not there.
        is_dirty: Whether there are others than those that git ignores.
    """

    repository: Path
    subdirectory: str
    commit: str
    others: frozenset[str]
    lacks: bool
    is_dirty: bool

    def has_all_of(self, files: Iterable[str]) -> bool:
        """Whether the commit has exactly these files of the folder, as they are.

        Args:
            files: What is sent of it; asked for only where it matters.
        """
        if self.lacks:
            return False
        return not self.others or not any(self._is_other(path) for path in files)

    def _is_other(self, path: str) -> bool:
        pure = PurePosixPath(path)
        return any(str(each) in self.others for each in (pure, *pure.parents))


def read_git_tree(repository: Repository | None, directory: Path) -> GitTree | None:
    """Ask git; None where the folder is in no repository, or git does not tell.

    Args:
        repository: Which has the folder in its work tree.
        directory: Resolved.
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
        _logger.debug("git does not tell of '%s': %s", directory, without_credentials(str(error)))
        return None
    entries = (entry.partition("\t") for entry in listed.split("\0"))
    submodules = [path for about, _, path in entries if about.startswith(_SUBMODULE)]
    return _with_submodules(tree, directory, submodules)


def parse_status(root: Path, directory: Path, said: str) -> GitTree | None:
    """Read git's answer; None where there is no commit yet. Pure."""
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
            next(entries)  # what it was called before
        lacks = lacks or kind == "2" or (kind in "1u" and "D" in entry[2:4])
        is_dirty = is_dirty or kind != "!"
        if f"{subdirectory}/".startswith(f"{path}/"):
            others.add(".")  # the folder itself, or one that it is in, is not in the repository
        else:
            others.add(path.removeprefix(f"{subdirectory}/") if subdirectory else path)
    if commit == _UNBORN:
        return None
    return GitTree(root, subdirectory, commit, frozenset(others), lacks, is_dirty)


def _with_submodules(tree: GitTree, directory: Path, paths: Iterable[str]) -> GitTree:
    """The tree with what is not as in the commits of its submodules."""
    for path in paths:
        folder = directory / path
        if not folder.is_dir() or (not (folder / ".git").exists() and not any(folder.iterdir())):
            continue  # not checked out
        inner = None
        if folder.resolve() == folder:  # behind a link may be anything, also this folder itself
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
    """Files may count as changed for want of a filter that only the repository names."""
    missing = [name for name in _filters(view.settings) if not _has_filter(view, name)]
    if missing:
        _logger.warning(
            "The configuration of the repository '%s' names the filter '%s', a program that is not "
            "run: a project may come from elsewhere. Files that it changes count as changed. If "
            "you trust it, name it in your own configuration: git config --global filter.%s.clean "
            "'%s'",
            view.repository.root,
            missing[0],
            missing[0],
            view.settings.get(f"filter.{missing[0]}.clean", "PROGRAM"),
        )


def _filters(settings: Mapping[str, str]) -> list[str]:
    keys = (key for key in settings if key.startswith("filter."))
    ours = (key for key in keys if key.endswith((".clean", ".process")))
    return list(dict.fromkeys(key.partition(".")[2].rpartition(".")[0] for key in ours))


def _has_filter(view: View, name: str) -> bool:
    """Whether the user's own configuration has it."""
    kinds = ("clean", "process")
    return any(view.tells("config", "--get", f"filter.{name}.{kind}") for kind in kinds)
