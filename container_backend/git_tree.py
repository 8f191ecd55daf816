"""What git says of a project's folder, in one question that writes nothing."""

from __future__ import annotations

import logging
import os
import subprocess
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from container_backend.masking import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_logger = logging.getLogger(__name__)

_SECONDS: Final = 60
# Programs of a repository's configuration are not run, and no lock is taken in it.
_GIT: Final = ("git", "-c", "core.fsmonitor=false", "--no-optional-locks")
_QUESTION: Final = (
    *("status", "--porcelain=v2", "--branch", "-z"),
    *("--untracked-files=all", "--ignored=matching", "--", "."),
)
# Those that a hook or another git has set would lead to its repository instead.
_ELSEWHERE: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
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
    """

    repository: Path
    subdirectory: str
    commit: str
    others: frozenset[str]
    lacks: bool

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


def read_git_tree(directory: Path) -> GitTree | None:
    """Ask git; None where the folder is in no repository, or git does not tell.

    Args:
        directory: Resolved.
    """
    roots = (folder for folder in (directory, *directory.parents) if (folder / ".git").exists())
    root = next(roots, None)
    if root is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 words of ours
            [*_GIT, *_QUESTION],
            cwd=directory,
            env={name: value for name, value in os.environ.items() if name not in _ELSEWHERE},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error).encode()
        _logger.debug(
            "git does not tell of '%s': %s",
            directory,
            without_credentials(said.decode(errors="replace")),
        )
        return None
    return parse_status(root, directory, done.stdout.decode("utf-8", "surrogateescape"))


def parse_status(root: Path, directory: Path, said: str) -> GitTree | None:
    """Read git's answer; None where there is no commit yet. Pure."""
    subdirectory = directory.relative_to(root).as_posix() if directory != root else ""
    commit, lacks, others = _UNBORN, False, set()
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
        if f"{subdirectory}/".startswith(f"{path}/"):
            others.add(".")  # the folder itself, or one that it is in, is not in the repository
        else:
            others.add(path.removeprefix(f"{subdirectory}/") if subdirectory else path)
    if commit == _UNBORN:
        return None
    return GitTree(root, subdirectory, commit, frozenset(others), lacks)
