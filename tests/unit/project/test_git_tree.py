"""What git says of a project: whether a commit has all that is sent."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from container_backend.project.files import included_files
from container_backend.project.git import find_repository
from container_backend.project.git.tree import GitTree, read_git_tree

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=me", "-c", "user.email=me@example.org", *arguments],
        cwd=folder, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


@pytest.fixture
def repository(tmp_path) -> Path:
    """A project in a folder of a repository, committed."""
    root = tmp_path / "a repository ü"
    (root / "sub" / "sub").mkdir(parents=True)
    for path in ("sub/a.py", "sub/ü b.py", "sub/sub/c.py", "beside.py"):
        (root / path).write_text(path)
    (root / ".gitignore").write_text("*.data\nbuild/\n")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    return root


def tree_of(project: Path) -> GitTree | None:
    return read_git_tree(find_repository(project), project)


def is_whole(project: Path) -> bool:
    tree = tree_of(project)
    assert tree is not None
    return tree.has_all_of(included_files(project))


def test_a_tree_without_changes(repository):
    project = repository / "sub"
    tree = tree_of(project)
    assert (tree.repository, tree.subdirectory) == (repository, "sub")
    assert tree.commit == git(repository, "rev-parse", "HEAD")
    assert is_whole(project)
    assert is_whole(repository)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sub/a.py", "changed"),
        ("sub/new.py", "not added"),
        ("sub/sub/deep/new.py", "not added"),
        ("sub/x.data", "ignored by git, and sent"),
        ("sub/build/x", "in a folder that is ignored by git, and sent"),
    ],
)
def test_what_is_sent_and_not_in_the_commit(repository, path, text):
    (repository / path).parent.mkdir(exist_ok=True)
    (repository / path).write_text(text)
    assert not is_whole(repository / "sub")


@pytest.mark.parametrize("path", ["beside.py", "new.py", "sub/__pycache__/a.pyc", "sub/out.log"])
def test_what_is_not_sent_does_not_matter(repository, path):
    (repository / "sub" / ".dockerignore").write_text("*.log\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "second")
    (repository / path).parent.mkdir(exist_ok=True)
    (repository / path).write_text("changed")
    assert is_whole(repository / "sub")


def test_a_file_that_was_removed_or_renamed(repository):
    (repository / "sub" / "a.py").unlink()
    assert not is_whole(repository / "sub")
    git(repository, "checkout", "--quiet", ".")
    assert is_whole(repository / "sub")
    git(repository, "mv", "sub/a.py", "sub/other.py")
    assert not is_whole(repository / "sub")


def test_what_is_staged_is_not_committed(repository):
    (repository / "sub" / "a.py").write_text("staged")
    git(repository, "add", "--all")
    assert not is_whole(repository / "sub")


def test_a_folder_that_git_ignores(repository):
    project = repository / "build"
    project.mkdir()
    (project / "main.py").write_text("x")
    assert not is_whole(project)


def test_where_there_is_no_commit(tmp_path):
    assert tree_of(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert tree_of(tmp_path) is None


def test_a_repository_that_git_cannot_read(repository):
    (repository / ".git" / "HEAD").write_text("nonsense")
    assert tree_of(repository) is None


def test_no_program_of_the_repository_is_run(repository, tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path}/was-run'\n")
    program.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(program))
    assert tree_of(repository) is not None
    assert not (tmp_path / "was-run").exists()


def test_nothing_is_written_to_the_repository(repository):
    index = repository / ".git" / "index"
    before = index.read_bytes()
    (repository / "sub" / "a.py").touch()
    assert is_whole(repository / "sub")
    assert index.read_bytes() == before


def test_another_repository_in_the_environment_is_not_asked(repository, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    tree = tree_of(repository / "sub")
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_WORK_TREE")
    assert tree.commit == git(repository, "rev-parse", "HEAD")
