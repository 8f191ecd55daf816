"""What of a project is sent to the container."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
import tempfile
from pathlib import Path

import pytest

from container_backend.errors import InvalidProject
from container_backend.machine import ONE_TIME
from container_backend.project.archive import archive_code, archive_of
from container_backend.project.files import check_files, included_files
from container_backend.project.snapshot import CodeCopy
from container_backend.project.tar import ANYBODY, Owner

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
    with archive_code(tmp_path, Owner(12, 34)) as packed, tarfile.open(fileobj=packed.file) as tar:
        members = {member.name: member for member in tar.getmembers()}
        assert tar.extractfile(f"{CODE}/a b/ü.py").read().decode() == "a b/ü.py"
        assert tar.extractfile(f"{CODE}/second-name.sh").read() == b"#!/bin/sh\n"
    assert members[f"{CODE}/run.sh"].mode & 0o111
    assert members[f"{CODE}/link"].linkname == "a b/ü.py"
    owned = {name for name, member in members.items() if (member.uid, member.gid) == (12, 34)}
    beside = {"mlflow", "mlflow/projects", "mlflow/mark", "mlflow/mark/reached"}
    launcher = {name for name in members if name.startswith("mlflow/launcher")}
    assert owned == set(members) - beside - launcher
    assert "mlflow/home" in members


def test_the_same_files_make_the_same_bytes_whenever_they_were_written(tmp_path):
    digests = set()
    for place, moment in (("here", 1), ("there", 1_700_000_000.5)):
        root = files(tmp_path / place, "b/c.py", "a.py", "ü")
        for path in root.rglob("*"):
            os.utime(path, (moment, moment))
        with archive_code(
            root, Owner(1, 1), more=lambda: [("/mlflow/record/x", io.BytesIO())]
        ) as packed:
            digests.add((packed.code.digest, packed.beside.digest))
    assert len(digests) == 1


def test_another_content_of_the_same_size_has_another_time(tmp_path):
    """Caches compare times and sizes, as that of Python's bytecode does."""
    times = []
    for text in ("LR = 0.1\n", "LR = 0.5\n", "LR = 0.1\n"):
        (tmp_path / "train.py").write_text(text)
        with archive_code(tmp_path, Owner(7, 7)) as code, tarfile.open(fileobj=code.file) as tar:
            times.append(tar.getmember("mlflow/projects/code/train.py").mtime)
    assert times[0] == times[2] != times[1]
    assert min(times) >= ONE_TIME


def test_a_name_that_deletes_a_file_in_a_layer_is_noted(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("")
    with archive_code(tmp_path, Owner(7, 7)) as code:
        assert code.whiteout == ""
    (tmp_path / "a" / ".wh.b").write_text("")
    with archive_code(tmp_path, Owner(7, 7)) as code:
        assert code.whiteout == "a/.wh.b"


def test_code_and_what_is_beside_it_are_tars_of_their_own(tmp_path):
    files(tmp_path, "a.py", "b/c.py")
    more = {"/mlflow/record/deep/x": io.BytesIO(b"x")}
    with archive_code(tmp_path, Owner(1, 1), more=more.items) as packed:
        with tarfile.open(fileobj=packed.whole()) as tar:
            together = {(entry.name, entry.mode, entry.uid, entry.size) for entry in tar}
        parts = []
        for part in packed.layers:
            content = b"".join(part.pieces())
            assert len(content) == part.size
            assert part.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                parts.append({(entry.name, entry.mode, entry.uid, entry.size) for entry in tar})
    beside, code = parts
    assert beside | code == together
    parents = {"mlflow", "mlflow/projects"}
    assert {name for name, *_ in code} == {
        *parents,
        CODE,
        f"{CODE}/a.py",
        f"{CODE}/b",
        f"{CODE}/b/c.py",
    }
    assert {name for name, *_ in beside & code} == parents
    assert ("mlflow/record/deep", 0o755, 0, 0) in beside


def test_a_folder_is_there_before_what_is_in_it_also_if_it_is_ignored(tmp_path):
    """In a layer, a folder that is not named would be for root alone."""
    files(tmp_path, "data/deep/kept", "data/deep/other", "data/deep.txt")
    (tmp_path / ".dockerignore").write_text("data\n!data/deep/kept\n")
    copy = CodeCopy(keep=False)
    with archive_of(tmp_path, Owner(1, 2)) as packed, tarfile.open(fileobj=packed.file) as tar:
        names = [entry.name.removeprefix(f"{CODE}/") for entry in tar if entry.uid == 1]
    assert names == [CODE, ".dockerignore", "data", "data/deep", "data/deep/kept"]
    archive_code(tmp_path, Owner(1, 2), copy).file.close()
    assert copy.has_folders


def test_what_is_anybodys_may_be_written_by_every_user(tmp_path):
    files(tmp_path, "a.py", "sub/run.sh")
    (tmp_path / "sub/run.sh").chmod(0o700)
    (tmp_path / "a.py").chmod(0o600)
    with archive_of(tmp_path, ANYBODY) as packed, tarfile.open(fileobj=packed.file) as tar:
        found = {entry.name.removeprefix(CODE): (entry.mode, entry.uid) for entry in tar}
    assert found == {
        "mlflow": (0o755, 0), "mlflow/projects": (0o755, 0), "": (0o777, 0), "/a.py": (0o666, 0),
        "/sub": (0o777, 0), "/sub/run.sh": (0o777, 0),
    }  # fmt: skip


def test_sockets_and_pipes_are_left_out(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with (
            archive_code(tmp_path, Owner(1, 1)) as packed,
            tarfile.open(fileobj=packed.file) as tar,
        ):
            assert not [name for name in tar.getnames() if name.startswith(f"{CODE}/")]


def test_ten_thousand_files(tmp_path):
    for folder in range(100):
        (tmp_path / f"d{folder}").mkdir()
        for file in range(100):
            (tmp_path / f"d{folder}" / f"{file}.txt").touch()
    with archive_code(tmp_path, Owner(1, 1)) as packed, tarfile.open(fileobj=packed.file) as tar:
        assert (
            sum(member.name.startswith(f"{CODE}/") for member in tar if member.isfile()) == 10_000
        )


def test_a_dockerignore_that_cannot_be_read(tmp_path):
    (tmp_path / ".dockerignore").write_bytes(b"\xff")
    with pytest.raises(InvalidProject, match=r"\.dockerignore: not UTF-8 text"):
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
    with archive_code(tmp_path, Owner(1, 1)) as packed, tarfile.open(fileobj=packed.file) as tar:
        assert tar.getmember(f"{CODE}/sub/link").linkname == "../data/a.csv"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside"])
def test_a_link_out_of_the_project_is_refused(tmp_path, target):
    root = files(tmp_path / "project", "sub/a")
    (root / "link").symlink_to(target)
    with pytest.raises(InvalidProject, match=r"'.*project/link' points out of it"):
        check_files(root)
    (root / ".dockerignore").write_text("link\n")
    check_files(root)


def test_a_link_to_what_is_left_out_is_named_once(tmp_path, caplog):
    files(tmp_path, ".git/annex/objects/x", "big.bin", "data/a.csv", "kept/b")
    for name, target in {
        "annexed": ".git/annex/objects/x",
        "gone": ".git/annex/objects/y",
        "link": "big.bin",
        "to folder": "data",
        "fine": "kept/b",
        "fine too": "kept",
        "here": ".",
        ".#editor": "me@host.1:2",
    }.items():
        (tmp_path / name).symlink_to(target)
    (tmp_path / ".dockerignore").write_text("*.bin\ndata\n")
    check_files(tmp_path)
    (record,) = caplog.records
    assert "'annexed' (to '" in record.getMessage()
    assert "and 1 more" in record.getMessage()
    (tmp_path / ".dockerignore").write_text("!.git/annex\nto*\nlink\ngone\n")
    check_files(tmp_path)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta/history"])
def test_an_environment_of_this_machine_is_left_out_whatever_its_name(tmp_path, mark):
    files(tmp_path, "main.py", f"my env/{mark}", "my env/lib/six.py", f"sub/venv/{mark}")
    (tmp_path / "my env" / "python").symlink_to("/usr/bin/python3")
    check_files(tmp_path)
    assert list(included_files(tmp_path)) == ["main.py", "sub"]
    (tmp_path / ".dockerignore").write_text("!**/*.py\n")
    assert list(included_files(tmp_path)) == [".dockerignore", "main.py", "sub"]
    (tmp_path / ".dockerignore").write_text("!my env/lib\n")
    assert "my env/lib/six.py" in set(included_files(tmp_path))


def test_a_pattern_for_all_folders_brings_back_no_environment_and_no_history(tmp_path):
    files(tmp_path, ".venv/lib/six.py", ".git/hooks/x.py", "src/a.py", "src/b.txt", "c.txt")
    (tmp_path / ".dockerignore").write_text("*\n!**/*.py\n")
    assert set(included_files(tmp_path)) == {".dockerignore", "src/a.py"}


def test_a_full_disk_is_called_that(tmp_path, monkeypatch):
    """A real file on which everything is too much."""
    full = Path("/dev/full").open("r+b", 0)  # noqa: SIM115 closed by what is tested
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda **_: full)
    with pytest.raises(InvalidProject, match="The disk is full"):
        archive_code(tmp_path, Owner(1, 1))
    assert full.closed
