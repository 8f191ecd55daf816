"""Projects whose git configuration names programs: none is run on this machine."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.hostile_git import (
    FILTER,
    FSMONITOR,
    Marks,
    configure,
    git,
    lay_out_as_repository,
    make_repository,
)
from tests.support.commands import run_command
from tests.support.on_engine import remove_images
from tests.support.projects import TRUST
from tests.support.runs import only_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from container_backend.engine import Engine

RUN = ("container-backend", "run")
BUILD = ("container-backend", "build", "--tag", "{tag}")
MLFLOW_RUN = ("mlflow", "run", "--backend", "docker")


def folder_of_a_repository(tmp_path: Path, configuration: str) -> str:
    outer = tmp_path / "outer"
    lay_out_as_repository(outer / "sub", configuration)
    git(outer, "init", "--quiet", "--initial-branch=main")
    git(outer, "add", "--all")
    git(outer, "commit", "--quiet", "--message", "first")
    return f"{outer}#sub"


def archive(tmp_path: Path, configuration: str) -> str:
    folder = lay_out_as_repository(tmp_path / "project", configuration)
    return shutil.make_archive(str(tmp_path / "x"), "zip", folder)


def folder(tmp_path: Path, configuration: str) -> str:
    made = make_repository(tmp_path / "project")
    configure(made / ".git", configuration)
    return str(made)


@pytest.fixture
def tag(engine: Engine) -> Iterator[str]:
    name = f"hostile-git:{uuid.uuid4().hex}"
    yield name
    remove_images(engine, name)


@pytest.mark.parametrize("program", [pytest.param(FSMONITOR, marks=pytest.mark.slow), FILTER])
@pytest.mark.parametrize(
    ("command", "project", "version"),
    [
        (RUN, folder_of_a_repository, "main"),
        (RUN, folder_of_a_repository, None),
        (MLFLOW_RUN, folder_of_a_repository, "main"),
        (BUILD, archive, None),
        (BUILD, folder_of_a_repository, None),
        (BUILD, folder_of_a_repository, "main"),
        ((*RUN, *TRUST), archive, None),
        (RUN, folder, None),
        (MLFLOW_RUN, folder, None),
        (BUILD, folder, None),
    ],
    ids=lambda value: (
        value.__name__
        if callable(value)
        else "-".join(filter(None, value))
        if isinstance(value, tuple)
        else str(value)
    ),
)
def test_no_program_of_a_project_is_run_on_this_machine(
    command: tuple[str, ...],
    project: Callable[[Path, str], str],
    version: str | None,
    program: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    marks = Marks(tmp_path / "marks")
    uri = project(tmp_path, marks.configuration(program))
    tag = request.getfixturevalue("tag") if command == BUILD else ""
    words = [word.replace("{tag}", tag) for word in command]
    done = run_command(*words, uri, *(("--version", version) if version else ()), check=True)
    assert command == BUILD or "other" in done.stdout + done.stderr
    assert marks.left == []


def test_git_is_asked_nothing_about_an_archive(tmp_path, monkeypatch):
    uri = archive(tmp_path, "")
    # A temporary folder may lie in a repository, of another user even.
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "another's")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    run_command("container-backend", "run", uri, *TRUST, check=True)
    tags = only_run().data.tags
    assert not [name for name in tags if "git" in name]
    assert tags["mlflow.source.name"] == uri


@pytest.mark.parametrize("program", [FSMONITOR, FILTER])
def test_without_the_guard_git_runs_the_program_that_a_repository_names(tmp_path, program):
    """A user who types `git status` there runs the program, too."""
    marks = Marks(tmp_path / "marks")
    project = folder(tmp_path, marks.configuration(program))
    subprocess.run(["git", "status"], cwd=project, capture_output=True, check=False)
    assert marks.left == [program]
