"""Files of artifacts: only what lies below their folder, and never through a link."""

from __future__ import annotations

import os
import threading

import pytest

from container_backend.store.client.files import (
    Listed,
    WrongPath,
    list_folder,
    new_file,
    open_file,
    remove,
)


def put(root, path: str, content: bytes = b"x") -> None:
    with new_file(root, path) as file:
        file.write(content)


def test_a_file_is_written_with_its_folders_and_read_again(tmp_path):
    put(tmp_path / "new", "a/b c/ü.txt", b"hello")
    with open_file(tmp_path / "new", "a/b c/ü.txt") as file:
        assert file.read() == b"hello"
    put(tmp_path / "new", "a/b c/ü.txt", b"again")
    assert (tmp_path / "new/a/b c/ü.txt").read_bytes() == b"again"
    assert os.listdir(tmp_path / "new/a/b c") == ["ü.txt"]  # noqa: PTH208


def test_a_file_that_was_not_written_to_its_end_is_not_there(tmp_path):
    put(tmp_path, "a", b"before")
    writing = new_file(tmp_path, "a")
    writing.__enter__().write(b"half")
    assert not writing.__exit__(ValueError, ValueError("cut off"), None)
    assert (tmp_path / "a").read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_folder_is_listed_with_sizes(tmp_path):
    put(tmp_path, "a/b", b"123")
    put(tmp_path, "c", b"")
    (tmp_path / "link").symlink_to("c")
    assert list_folder(tmp_path, "") == [Listed("a", None), Listed("c", 0)]
    assert list_folder(tmp_path, "a") == [Listed("b", 3)]
    assert list_folder(tmp_path, "missing") == []
    assert list_folder(tmp_path, "c") == []


def test_a_file_or_a_folder_is_removed(tmp_path):
    for path in ("a/b/c", "a/d", "e"):
        put(tmp_path, path)
    remove(tmp_path, "a/b")
    remove(tmp_path, "missing")
    remove(tmp_path, "e")
    assert list_folder(tmp_path, "") == [Listed("a", None)]
    remove(tmp_path, "")
    assert list_folder(tmp_path, "") == []


@pytest.mark.parametrize("path", ["../x", "a/../../x", "..", "a\0b", "/../x"])
def test_a_path_leads_to_nothing_above(tmp_path, path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "x").write_text("of mine")
    for use in (open_file, list_folder, remove, put):
        with pytest.raises(WrongPath):
            use(root, path)
    assert (tmp_path / "x").read_text() == "of mine"


@pytest.mark.parametrize("path", ["link", "folder/x"])
def test_a_link_is_not_followed(tmp_path, path):
    root, mine = tmp_path / "root", tmp_path / "mine"
    root.mkdir()
    mine.mkdir()
    (mine / "x").write_text("of mine")
    (root / "link").symlink_to(mine / "x")
    (root / "folder").symlink_to(mine)
    with pytest.raises(OSError, match=r"links|directory"):
        open_file(root, path)
    assert list_folder(root, "folder") == []
    if path == "link":  # the link itself is replaced
        put(root, path, b"of the program")
        assert not (root / "link").is_symlink()
    else:
        with pytest.raises(OSError, match=r"links|directory"):
            put(root, path, b"of the program")
        with pytest.raises(OSError, match=r"links|directory"):
            remove(root, path)
    assert (mine / "x").read_text() == "of mine"
    remove(root, "")
    assert (mine / "x").read_text() == "of mine"


def test_a_pipe_holds_up_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path, "pipe")


def test_writers_at_once_leave_one_whole_file(tmp_path):
    def write(number: int) -> None:
        put(tmp_path, "a/b", bytes([number]) * 100_000)

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = (tmp_path / "a/b").read_bytes()
    assert len(content) == 100_000
    assert len(set(content)) == 1
    assert list_folder(tmp_path, "a") == [Listed("b", 100_000)]
