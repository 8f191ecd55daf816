"""Repositories whose own configuration names programs: each leaves a mark when it is run."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

FSMONITOR: Final = "fsmonitor"
FILTER: Final = "filter"
PROCESS: Final = "process"
# By what it is called in the configuration. {mark} leaves a mark and then fails.
_PROGRAMS: Final = {
    FSMONITOR: "[core]\n\tfsmonitor = {mark}",
    FILTER: '[filter "f"]\n\tclean = {mark}\n\tsmudge = {mark}\n\trequired = true',
    PROCESS: '[filter "p"]\n\tprocess = {mark}',
    "core": "[core]\n\tpager = {mark}\n\teditor = {mark}\n\taskPass = {mark}\n"
    "\tsshCommand = {mark}\n\tgitProxy = {mark}\n\talternateRefsCommand = {mark}",
    "diff": "[diff]\n\texternal = {mark}\n"
    '[diff "f"]\n\ttextconv = {mark}\n\tcommand = {mark}\n[merge "f"]\n\tdriver = {mark}',
    "gpg": "[gpg]\n\tprogram = {mark}\n[log]\n\tshowSignature = true\n[commit]\n\tgpgSign = true",
    "alias": "[alias]\n\tstatus = !{mark}\n\trev-parse = !{mark}\n\tls-files = !{mark}",
    "credential": "[credential]\n\thelper = !{mark}",
    "uploadpack": "[uploadpack]\n\tpackObjectsHook = {mark}",
    "remote": '[remote "evil"]\n\turl = ext::{mark}\n\tvcs = ext\n\tuploadpack = {mark}\n'
    "\tpromisor = true\n[extensions]\n\tpartialClone = evil",
    "hooks": "[core]\n\thooksPath = {hooks}",
}
PROGRAMS: Final = tuple(_PROGRAMS)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=me", "-c", "user.email=me@example.org", *arguments],
        cwd=folder, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


class Marks:
    """Which programs were run."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder

    @property
    def left(self) -> list[str]:
        """The names of those that were run."""
        return sorted(file.name for file in self._folder.glob("*") if file.is_file())

    def configuration(self, *names: str) -> str:
        """One that names programs; all of them by default."""
        return "\n".join(self._section(name) for name in names or PROGRAMS) + "\n"

    def _section(self, name: str) -> str:
        program = self._folder / "programs" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ntouch '{self._folder}/{name}'\nexit 1\n")
        program.chmod(0o755)
        hooks = self._folder / "hooks"
        hooks.mkdir(exist_ok=True)
        for hook in ("post-checkout", "post-index-change", "reference-transaction"):
            shutil.copy(program, hooks / hook)
        return _PROGRAMS[name].format(mark=program, hooks=hooks)


def make_repository(folder: Path) -> Path:
    """One with a project, whose files are not as in the commit, at equal size."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "MLproject").write_text("entry_points: {main: {command: 'cat data.txt'}}\n")
    (folder / "requirements.txt").touch()
    (folder / ".gitattributes").write_text("data.txt filter=f diff=f\nmore.txt filter=p\n")
    for name in ("data.txt", "more.txt"):
        (folder / name).write_text("first")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    for name in ("data.txt", "more.txt"):
        (folder / name).write_text("other")
    return folder


def configure(git_directory: Path, configuration: str) -> None:
    """Add to a repository's own configuration."""
    with (git_directory / "config").open("a") as file:
        file.write(configuration)


def lay_out_as_repository(folder: Path, configuration: str) -> Path:
    """The project's folder is a repository itself, without ``.git``."""
    made = make_repository(folder)
    for entry in (made / ".git").iterdir():
        shutil.move(entry, made / entry.name)
    (made / ".git").rmdir()
    text = (made / "config").read_text().replace("bare = false", "bare = false\n\tworktree = .")
    (made / "config").write_text(text + configuration)
    (made / "refs" / "tags").mkdir(exist_ok=True)
    return made
