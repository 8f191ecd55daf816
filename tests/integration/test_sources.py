"""Projects from git and zip files."""

from __future__ import annotations

import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest

import container_backend
from tests.integration.conftest import only_run, runs

if TYPE_CHECKING:
    from pathlib import Path

MLPROJECT = "entry_points: {main: {command: 'cat answer.txt'}}\n"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.test", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path) -> Path:
    """Two commits; the first one has a tag and a branch."""
    folder = tmp_path / "repo sitory"
    (folder / "sub").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for answer in ("old", "new"):
        for place in (folder, folder / "sub"):
            (place / "MLproject").write_text(MLPROJECT)
            (place / "answer.txt").write_text(f"{answer} {place.name}")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", answer)
        if answer == "old":
            git(folder, "tag", "v1")
            git(folder, "branch", "release")
    return folder


@pytest.mark.parametrize("version", ["v1", "release", "commit"])
def test_a_version_of_a_local_repository(repository, capfd, version):
    commit = git(repository, "rev-parse", "v1")
    (repository / "answer.txt").write_text("edited")
    container_backend.run(str(repository), version=commit if version == "commit" else version)
    assert capfd.readouterr().out == "old repo sitory"
    assert (repository / "answer.txt").read_text() == "edited"
    assert git(repository, "branch", "--show-current") == "main"
    tags = only_run().data.tags
    assert tags["mlflow.source.git.commit"] == commit
    assert tags.get("mlflow.source.git.branch") == ("release" if version == "release" else None)


def test_a_working_tree_is_run_as_it_is_with_its_commit_on_record(repository, capfd):
    (repository / "answer.txt").write_text("edited")
    container_backend.run(str(repository))
    assert capfd.readouterr().out == "edited"
    assert only_run().data.tags["mlflow.source.git.commit"] == git(repository, "rev-parse", "HEAD")


def test_a_subdirectory(repository, capfd):
    container_backend.run(f"{repository}#sub")
    assert capfd.readouterr().out == "new sub"


def test_a_zip_file(repository, tmp_path, capfd):
    file = tmp_path / "project.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in repository.iterdir():
            if path.is_file():
                archive.write(path, f"{path.name}")
    container_backend.run(str(file))
    assert capfd.readouterr().out == "new repo sitory"


@pytest.mark.parametrize(
    ("uri", "version", "message"),
    [
        ("{repository}", "no-such-version", "at version 'no-such-version' cannot be fetched"),
        ("{repository}#gone", None, "There is no folder 'gone'"),
        ("{plain}", "v1", "is not a git repository"),
        ("{plain}/file.txt", None, "is a file"),
        ("https://user:t0ken@127.0.0.1:1/x.git", None, "'https://127.0.0.1:1/x.git' cannot be"),
        ("{plain}/broken.zip", None, "cannot be fetched"),
    ],
)
def test_what_cannot_be_fetched_is_said_and_no_run_is_made(
    repository, tmp_path, uri, version, message
):
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "file.txt").touch()
    (plain / "broken.zip").write_text("no zip")
    with pytest.raises(container_backend.InvalidProject) as caught:
        container_backend.run(uri.format(repository=repository, plain=plain), version=version)
    assert message in str(caught.value)
    assert "t0ken" not in str(caught.value)
    assert runs() == []
