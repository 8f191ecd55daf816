"""Projects from git and zip files."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path

import mlflow
import mlflow.projects.utils as projects
import pytest

import container_backend
from container_backend.project import fetch, source
from tests.support.projects import TRUSTED
from tests.support.runs import only_run, runs
from tests.support.servers import files_over_http, git_over_https, ssh_server

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
            git(folder, "branch", "20240101")  # as a short id looks
    return folder


@pytest.mark.parametrize("version", ["v1", "release", "20240101", "commit", "short commit"])
def test_a_version_of_a_local_repository(repository, capfd, version):
    commit = git(repository, "rev-parse", "v1")
    (repository / "answer.txt").write_text("edited")
    commits = {"commit": commit, "short commit": commit[:8]}
    container_backend.run(str(repository), version=commits.get(version, version))
    assert capfd.readouterr().out == "old repo sitory"
    assert (repository / "answer.txt").read_text() == "edited"
    assert git(repository, "branch", "--show-current") == "main"
    tags = only_run().data.tags
    assert tags["mlflow.source.git.commit"] == commit
    assert tags.get("mlflow.source.git.branch") == (
        version if version in {"release", "20240101"} else None
    )


@pytest.mark.parametrize("kind", ["folder", "address", "folder with a remote"])
def test_the_address_of_a_repository_is_that_of_mlflow(repository, tmp_path, monkeypatch, kind):
    """The same project, from equal repositories, since MLflow changes the repository."""
    uri = repository.as_uri().replace("%20", " ") if kind == "address" else str(repository)
    if "remote" in kind:
        git(repository, "remote", "add", "up", "https://me:secret@host.test/p.git")
    container_backend.run(f"{uri}#sub", version="v1")
    ours = only_run().data.tags
    mlflow.delete_run(only_run().info.run_id)
    if "remote" in kind:
        monkeypatch.setattr(
            projects, "_fetch_git_repo", lambda *_: git(repository, "checkout", "v1")
        )
    mlflow.projects.run(f"{uri}#sub", version="v1", env_manager="local")
    theirs = only_run().data.tags
    if kind == "address":  # MLflow takes it for a relative path here
        del theirs["mlflow.source.name"]
    for tag in {"mlflow.source.git.repoURL", "mlflow.source.name"} & theirs.keys():
        assert ours[tag] == theirs[tag].replace("me:secret@", "")
    assert ours["mlflow.source.git.commit"] == theirs["mlflow.source.git.commit"]
    assert ours["mlflow.source.git.repoURL"].startswith(
        {"folder": "/", "address": "file:///"}.get(kind, "https://host.test")
    )


UNKNOWN = ["none", "abcdef0", "v1~1", "a b"]


@pytest.mark.parametrize(
    ("where", "version"),
    # The server of these tests breaks off where one is asked for an unknown commit.
    [(each, version) for each in ("folder", "address") for version in [*UNKNOWN, "0" * 40]]
    + [("https", version) for version in UNKNOWN],
)
def test_an_unknown_version_is_said(served, tmp_path, capfd, monkeypatch, where, version):
    monkeypatch.setenv("LANGUAGE", "de")
    with git_over_https(served, tmp_path) as (address, certificate):
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        folder = served / "project.git"
        uri = {"folder": str(folder), "address": f"file://{folder}"}.get(
            where, f"{address}/project.git"
        )
        with pytest.raises(container_backend.InvalidProject) as raised:
            container_backend.run(uri, version=version)
    said = f"Unable to checkout version '{version}' of the git repository '{uri}': it has no such"
    assert raised.value.message.startswith(said)
    assert len(str(raised.value).splitlines()) == 2
    assert "fatal" not in capfd.readouterr().err
    assert runs() == []


def test_a_working_tree_is_run_as_it_is_with_its_commit_on_record(repository, capfd):
    (repository / "answer.txt").write_text("edited")
    container_backend.run(str(repository))
    assert capfd.readouterr().out == "edited"
    assert only_run().data.tags["mlflow.source.git.commit"] == git(repository, "rev-parse", "HEAD")


def test_a_subdirectory(repository, capfd):
    container_backend.run(f"{repository}#sub")
    assert capfd.readouterr().out == "new sub"


def test_a_file_address(repository, capfd):
    container_backend.run(f"file://{repository}#sub")
    assert capfd.readouterr().out == "new sub"


@pytest.fixture
def served(repository, tmp_path) -> Path:
    """A bare copy, as servers have it, of a project with a submodule."""
    folder = tmp_path / "served"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(folder / "part.git"))
    project = tmp_path / "project"
    git(tmp_path, "init", "-q", "-b", "main", str(project))
    (project / "MLproject").write_text("entry_points: {main: {command: 'cat part/answer.txt'}}\n")
    git(project, "-c", "protocol.file.allow=always", "submodule", "add", "-q",
        str(folder / "part.git"), "part")  # fmt: skip
    git(project, "config", "-f", ".gitmodules", "submodule.part.url", "../part.git")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "project")
    git(project, "tag", "v1")
    git(tmp_path, "clone", "-q", "--bare", str(project), str(folder / "project.git"))
    return folder


def check_fetched(served: Path, uri: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert capfd.readouterr().out == "new repo sitory"
    tags = only_run().data.tags
    assert tags["mlflow.source.name"] == uri
    assert tags["mlflow.source.git.repoURL"] == uri
    assert tags["mlflow.source.git.commit"] == git(served / "project.git", "rev-parse", "HEAD")
    assert tags["mlflow.source.type"] == "PROJECT"


@pytest.mark.parametrize("version", [None, "v1", "main"])
def test_git_over_https_with_submodules(served, tmp_path, capfd, monkeypatch, version):
    with git_over_https(served, tmp_path) as (address, certificate):
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        uri = f"{address}/project.git"
        container_backend.run(uri, version=version, backend_config=TRUSTED)
    check_fetched(served, uri, capfd)
    assert only_run().data.tags.get("mlflow.source.git.branch") == (
        "main" if version == "main" else None
    )


def test_git_over_ssh(served, tmp_path, capfd, monkeypatch):
    with ssh_server(tmp_path / "ssh") as (who, ssh):
        monkeypatch.setenv("GIT_SSH_COMMAND", ssh)
        uri = f"{who}:{served}/project.git"
        container_backend.run(uri, backend_config=TRUSTED)
    check_fetched(served, uri, capfd)


def test_a_server_that_is_not_trusted_is_not_asked(served, tmp_path):
    with (
        git_over_https(served, tmp_path) as (address, _),
        pytest.raises(container_backend.InvalidProject, match="cannot be fetched"),
    ):
        container_backend.run(f"{address}/project.git")
    assert runs() == []


def test_a_zip_file_over_http(repository, tmp_path, capfd):
    (tmp_path / "www").mkdir()
    shutil.make_archive(str(tmp_path / "www" / "project"), "zip", tmp_path, repository.name)
    with files_over_http(tmp_path / "www") as address:
        container_backend.run(f"{address}/project.zip#sub", backend_config=TRUSTED)
        assert capfd.readouterr().out == "new sub"
        with pytest.raises(container_backend.InvalidProject, match="404"):
            container_backend.run(f"{address}/gone.zip")
    assert only_run().data.tags["mlflow.source.name"] == f"{address}/project.zip#sub"


@pytest.mark.parametrize("entry", ["../climbs", "/etc/absolute", "a/../../b"])
def test_an_archive_that_climbs_is_refused(tmp_path, entry):
    with zipfile.ZipFile(tmp_path / "project.zip", "w") as archive:
        archive.writestr("MLproject", MLPROJECT)
        archive.writestr(entry, "x")
    with pytest.raises(container_backend.InvalidProject) as caught:
        container_backend.run(str(tmp_path / "project.zip"))
    assert f"has an entry outside its folder: '{entry}'" in str(caught.value)


def test_a_fetched_project_is_handed_no_file_of_this_machine_that_the_user_did_not_type(
    script, tmp_path, capfd
):
    private = tmp_path / "private"
    private.write_text("of mine")
    folder = script(
        "import sys; print(open(sys.argv[1]).read())",
        f"{{data: {{type: path, default: '{private}'}}}}",
        "python main.py {data}",
    )
    archive = shutil.make_archive(str(tmp_path / "project"), "zip", folder)
    with pytest.raises(container_backend.InvalidProject) as caught:
        container_backend.run(archive)
    assert "key 'entry_points.main.parameters.data.default': this project was fetched" in str(
        caught.value
    )
    assert "trust_project" in str(caught.value)
    assert runs() == []
    container_backend.run(archive, parameters={"data": str(private)}, backend_config=TRUSTED)
    container_backend.run(archive, backend_config={"trust_project": True})
    assert capfd.readouterr().out == "of mine\nof mine\n"


def test_the_engine_is_handed_to_no_program_as_a_path(script, engine):
    folder = script("pass", "{data: path}", "python main.py {data}")
    address = engine.host.url.removeprefix("unix://")
    with pytest.raises(container_backend.InvalidProject, match="is a socket"):
        container_backend.run(folder, parameters={"data": address})
    with pytest.raises(container_backend.InvalidProject, match="as good as root"):
        container_backend.run(folder, parameters={"data": str(Path(address).parent)})
    assert runs() == []


def test_files_that_are_downloaded_for_a_run_go_with_it(script, tmp_path, capfd, monkeypatch):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a b.csv").write_text("1,2\n")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    folder = script(
        "import sys; print(sys.argv[1], open(sys.argv[1]).read())",
        "{data: path}",
        "python main.py {data}",
    )
    with files_over_http(tmp_path / "www") as address:
        container_backend.run(folder, parameters={"data": f"{address}/a%20b.csv"})
        assert capfd.readouterr().out.endswith("/param_0/a b.csv 1,2\n\n")
        assert list((tmp_path / "temporary").iterdir()) == []
        container_backend.run(
            folder,
            parameters={"data": f"{address}/a%20b.csv"},
            storage_dir=str(tmp_path / "kept"),
        )
        assert [file.read_text() for file in (tmp_path / "kept").rglob("*.csv")] == ["1,2\n"]
        with pytest.raises(container_backend.InvalidProject, match=r"'data' names .* cannot be"):
            container_backend.run(folder, parameters={"data": f"{address}/gone.csv"})
    assert len(runs()) == 2
    assert runs()[0].data.params == {"data": f"{address}/a%20b.csv"}


def test_an_artifact_of_another_run_is_downloaded_for_a_run(script, tmp_path, capfd):
    with mlflow.start_run() as other:
        mlflow.log_text("hello", "folder/note.txt")
    folder = script(
        "import os, sys; print(os.listdir(sys.argv[1]))", "{data: path}", "python main.py {data}"
    )
    container_backend.run(folder, parameters={"data": f"runs:/{other.info.run_id}/folder"})
    assert capfd.readouterr().out == "['note.txt']\n"


def test_a_zip_file(repository, tmp_path, capfd):
    file = tmp_path / "project.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in repository.iterdir():
            if path.is_file():
                archive.write(path, f"{path.name}")
    container_backend.run(str(file), backend_config=TRUSTED)
    assert capfd.readouterr().out == "new repo sitory"


def test_no_program_that_a_repository_in_a_zip_file_names_is_run(repository, tmp_path, capfd):
    program = f"touch '{tmp_path}/was-run'; cat"
    (repository / ".gitattributes").write_text("* filter=x\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "with a filter")
    git(repository, "config", "filter.x.clean", program)
    (repository / "answer.txt").write_text("changed")
    shutil.make_archive(str(tmp_path / "project"), "zip", repository)
    container_backend.run(str(tmp_path / "project.zip"), backend_config=TRUSTED)
    assert capfd.readouterr().out == "changed"
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("uri", "version", "message"),
    [
        ("{repository}", "no-such-version", "Unable to checkout version 'no-such-version'"),
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


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("most_unpacked", lambda _packed: 1000, "would unpack to"),
        ("MOST_FILES", 3, "has 5 files; at most 3 are unpacked"),
    ],
)
def test_an_archive_that_is_made_to_fill_the_disk_is_refused(
    tmp_path, monkeypatch, limit, value, said
):
    file = tmp_path / "project.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MLproject", MLPROJECT)
        for number in range(4):
            archive.writestr(f"zeros{number}", bytes(1000))
    with ExitStack() as needed:
        fetch(str(file), None, needed)  # is unpacked without such a limit
    monkeypatch.setattr(source, limit, value)
    with ExitStack() as needed, pytest.raises(container_backend.InvalidProject, match=said):
        fetch(str(file), None, needed)
