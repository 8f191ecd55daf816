"""What of a project is sent to the container."""

from __future__ import annotations

import os
import socket
import tarfile
import tempfile
from pathlib import Path

import pytest

from container_backend.errors import InvalidProject
from container_backend.project.archive import Owner, archive_code, check_files, included_files

CODE = "mlflow/projects/code"


def files(root, *names: str):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_histories_caches_and_stores_are_left_out(tmp_path):
    files(
        tmp_path, "a.py", "pkg/b.py", "pkg/__pycache__/b.pyc", ".git/HEAD", "mlruns/0/meta.yaml",
        "mlflow.db", "mlflow.db-journal", ".venv/bin/python", "sub/mlruns/kept",
    )  # fmt: skip
    assert list(included_files(tmp_path)) == [
        "a.py", "pkg", "pkg/b.py", "sub", "sub/mlruns", "sub/mlruns/kept",
    ]  # fmt: skip


def test_dockerignore_is_honoured_and_may_bring_back(tmp_path):
    files(tmp_path, "data/big.csv", "data/small.csv", "a.py", "a.log", "mlflow.db")
    (tmp_path / ".dockerignore").write_text(
        "# comment\ndata/*\n!data/small.csv\n*.log\n\n!mlflow.db\n"
    )
    found = set(included_files(tmp_path))
    assert found == {".dockerignore", "a.py", "data", "data/small.csv", "mlflow.db"}


def test_files_links_and_modes_arrive_and_belong_to_the_user(tmp_path):
    files(tmp_path, "a b/ü.py")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("a b/ü.py")
    os.link(tmp_path / "run.sh", tmp_path / "second-name.sh")
    with archive_code(tmp_path, Owner(12, 34)) as spool, tarfile.open(fileobj=spool) as tar:
        members = {member.name: member for member in tar.getmembers()}
        assert tar.extractfile(f"{CODE}/a b/ü.py").read().decode() == "a b/ü.py"
        assert tar.extractfile(f"{CODE}/second-name.sh").read() == b"#!/bin/sh\n"
    assert members[f"{CODE}/run.sh"].mode & 0o111
    assert members[f"{CODE}/link"].linkname == "a b/ü.py"
    owned = {name for name, member in members.items() if (member.uid, member.gid) == (12, 34)}
    launcher = {"mlflow/launcher", "mlflow/launcher/sitecustomize.py"}
    assert owned == set(members) - {"mlflow", "mlflow/projects", "mlflow/mark"} - launcher
    assert "mlflow/home" in members


def test_sockets_and_pipes_are_left_out(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with archive_code(tmp_path, Owner(1, 1)) as spool, tarfile.open(fileobj=spool) as tar:
            assert not [name for name in tar.getnames() if name.startswith(f"{CODE}/")]


def test_ten_thousand_files(tmp_path):
    for folder in range(100):
        (tmp_path / f"d{folder}").mkdir()
        for file in range(100):
            (tmp_path / f"d{folder}" / f"{file}.txt").touch()
    with archive_code(tmp_path, Owner(1, 1)) as spool, tarfile.open(fileobj=spool) as tar:
        assert (
            sum(member.name.startswith(f"{CODE}/") for member in tar if member.isfile()) == 10_000
        )


def test_a_dockerignore_that_cannot_be_read(tmp_path):
    (tmp_path / ".dockerignore").write_bytes(b"\xff")
    with pytest.raises(InvalidProject, match=r"\.dockerignore: cannot be read"):
        list(included_files(tmp_path))


def test_a_link_to_a_folder_is_a_link_and_not_a_second_folder(tmp_path):
    files(tmp_path, "data/a.csv")
    (tmp_path / "other").symlink_to("data")
    (tmp_path / "data" / "self").symlink_to(".")
    assert list(included_files(tmp_path)) == ["data", "data/a.csv", "data/self", "other"]


def test_an_absolute_link_into_the_project_leads_there_in_the_container_too(tmp_path):
    files(tmp_path, "data/a.csv", "sub/b")
    (tmp_path / "sub" / "link").symlink_to(tmp_path / "data" / "a.csv")
    check_files(tmp_path)
    with archive_code(tmp_path, Owner(1, 1)) as spool, tarfile.open(fileobj=spool) as tar:
        assert tar.getmember(f"{CODE}/sub/link").linkname == "../data/a.csv"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside"])
def test_a_link_out_of_the_project_is_refused(tmp_path, target):
    root = files(tmp_path / "project", "sub/a")
    (root / "link").symlink_to(target)
    with pytest.raises(InvalidProject, match=r"'.*project/link' points out of it"):
        check_files(root)
    (root / ".dockerignore").write_text("link\n")
    check_files(root)


def test_a_full_disk_is_called_that(tmp_path, monkeypatch):
    """A real file on which everything is too much."""
    full = Path("/dev/full").open("r+b", 0)  # noqa: SIM115 closed by what is tested
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda **_: full)
    with pytest.raises(InvalidProject, match="The disk is full"):
        archive_code(tmp_path, Owner(1, 1))
    assert full.closed
