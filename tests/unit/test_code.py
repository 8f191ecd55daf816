"""What of a project is sent to the container."""

from __future__ import annotations

import os
import socket
import tarfile

import pytest

from container_backend.code import Owner, archive_code, included_files
from container_backend.errors import InvalidProject

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
    assert owned == set(members) - {"mlflow", "mlflow/projects"}
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
        assert sum(member.isfile() for member in tar) == 10_000


def test_a_dockerignore_that_cannot_be_read(tmp_path):
    (tmp_path / ".dockerignore").write_bytes(b"\xff")
    with pytest.raises(InvalidProject, match=r"\.dockerignore: cannot be read"):
        list(included_files(tmp_path))
