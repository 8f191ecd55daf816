"""The copy of a project's code that goes to a run's artifacts, and its digest."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from container_backend.project import snapshot
from container_backend.project.archive import archive_code, digest_of_code
from container_backend.project.snapshot import CodeCopy, unpack
from container_backend.project.tar import Owner


def write(root: Path, **texts: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (root / name).write_text(text)
    return root


def copied(root: Path, most_bytes: int | None = None) -> tuple[CodeCopy, bytes | None]:
    """What is taken while a project is sent."""
    with (
        CodeCopy(keep=True, most_bytes=most_bytes) as copy,
        archive_code(root, Owner(7, 7), copy),
    ):
        packed = copy.finish()
        return copy, packed.read() if packed is not None else None


def test_a_copy_unpacks_to_what_was_sent(tmp_path):
    root = write(tmp_path / "a b", ü="1", empty="", big="x" * 1_000_000, _dockerignore="")
    (root / ".dockerignore").write_text("left-out\n")
    write(root / "folder" / "in it", program="#!/bin/sh\n")
    (root / "folder" / "in it" / "program").chmod(0o700)
    (root / "nothing in here").mkdir()
    (root / "left-out").write_text("no")
    (root / "link").symlink_to("folder/in it/program")
    copy, packed = copied(root)
    target = tmp_path / "target"
    target.mkdir()
    unpack(io.BytesIO(packed), target)
    assert digest_of_code(target) == copy.digest == digest_of_code(root)
    assert (target / "ü").read_text() == "1"
    assert (target / "big").stat().st_size == 1_000_000
    assert (target / "nothing in here").is_dir()
    assert os.access(target / "folder" / "in it" / "program", os.X_OK)
    assert (target / "link").readlink() == Path("folder/in it/program")
    assert not (target / "left-out").exists()


def test_the_same_files_make_the_same_bytes(tmp_path):
    first, second = (write(tmp_path / name, a="1", b="2") for name in "xy")
    os.utime(second / "a", (1, 1))
    (second / "b").chmod(0o640)
    assert copied(first)[1] == copied(second)[1]


@pytest.mark.parametrize("change", ["content", "name", "executable", "link"])
def test_what_counts_changes_the_digest(tmp_path, change):
    root = write(tmp_path / "x", a="1", b="2")
    (root / "link").symlink_to("a")
    before = digest_of_code(root)
    if change == "content":
        (root / "a").write_text("3")
    if change == "name":
        (root / "a").rename(root / "c")
        (root / "link").unlink()
        (root / "link").symlink_to("c")
    if change == "executable":
        (root / "a").chmod(0o755)
    if change == "link":
        (root / "link").unlink()
        (root / "link").symlink_to("b")
    assert digest_of_code(root) != before


def test_a_copy_that_gets_too_large_is_given_up_and_what_is_sent_is_not(tmp_path):
    root = write(tmp_path / "x", a="1" * 5000, b="2" * 5000)
    copy, packed = copied(root, most_bytes=8000)
    assert packed is None
    assert copy.is_too_large
    assert copy.digest == digest_of_code(root)
    with (
        CodeCopy(keep=True, most_bytes=10) as small,
        archive_code(root, Owner(7, 7), small) as sent,
        tarfile.open(fileobj=sent.file) as tar,
    ):
        names = tar.getnames()
    assert {"mlflow/projects/code/a", "mlflow/projects/code/b"} <= set(names)


def packed_with(*entries: tarfile.TarInfo) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    packed.seek(0)
    return packed


def entry(name: str, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    if target:
        made.type, made.linkname = tarfile.SYMTYPE, target
    else:
        made.size = 1
    return made


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../out")],
        [entry("/out")],
        [entry("a/../../out")],
        [entry("link", "../..")],
        [entry("folder/link", "/etc")],
    ],
    ids=["above", "absolute", "above in the middle", "link above", "link absolute"],
)
def test_nothing_is_unpacked_outside(tmp_path, entries):
    target = tmp_path / "in"
    target.mkdir()
    with pytest.raises(ValueError, match="outside"):
        unpack(packed_with(*entries), target)
    assert list(tmp_path.iterdir()) == [target]
    assert [path for path in target.rglob("*") if path.is_symlink()] == []


@pytest.mark.parametrize("last", ["d", "d/e"])
def test_links_lead_nowhere_else_together(tmp_path, last):
    """Each of them is inside, as far as its text says."""
    target = tmp_path / "in"
    target.mkdir()
    entries = [entry("sub/x", "."), entry("d", "sub/x/../.."), entry(last, "sub")]
    with pytest.raises(ValueError, match="outside"):
        unpack(packed_with(*entries[: 2 if last == "d" else 3]), target)
    assert list(tmp_path.iterdir()) == [target]


def test_a_copy_that_is_made_to_fill_the_disk_is_refused(tmp_path, monkeypatch):
    big = entry("zeros")
    big.size = 1000
    monkeypatch.setattr(snapshot, "most_unpacked", lambda packed: packed + 800)
    with pytest.raises(ValueError, match="bigger"):
        unpack(packed_with(big), tmp_path)
    monkeypatch.setattr(snapshot, "most_unpacked", lambda _packed: 1000)
    unpack(packed_with(big), tmp_path)
    assert (tmp_path / "zeros").stat().st_size == 1000


def test_no_file_is_written_by_way_of_a_link(tmp_path):
    target = tmp_path / "in"
    (target / "real").mkdir(parents=True)
    with pytest.raises((ValueError, OSError)):
        unpack(packed_with(entry("link", "real"), entry("link/file")), target)
    assert list((target / "real").iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"nothing", gzip.compress(b"no tar" * 200, mtime=0)])
def test_what_is_no_copy_is_said(tmp_path, data):
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(io.BytesIO(data), tmp_path)


def test_half_a_copy_is_said(tmp_path):
    _, packed = copied(write(tmp_path / "x", a=os.urandom(4000).hex()))
    (tmp_path / "y").mkdir()
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(io.BytesIO(packed[: len(packed) // 2]), tmp_path / "y")
