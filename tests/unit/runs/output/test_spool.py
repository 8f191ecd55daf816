"""A program's output in a file, and its end in memory."""

from __future__ import annotations

import struct
import tracemalloc

from container_backend.runs.output.spool import LogSpool, frames_in, last_lines
from container_backend.runs.output.stream import STDERR, STDOUT, Chunk


def test_all_is_in_the_file_and_the_end_in_memory(tmp_path):
    spool = LogSpool(tmp_path / "ünï code" / "logs", [b"s3cret"])
    spool.take([Chunk(STDOUT, b"one s3c"), Chunk(STDERR, b"warn "), Chunk(STDOUT, b"ret\nend")])
    assert spool.error is None
    assert spool.file.name == "container.log"
    assert spool.file.read_bytes() == b"one warn ***\nend"
    assert spool.tail == b"one warn ***\nend"
    assert spool.file.parent.stat().st_mode & 0o777 == 0o700


def test_what_was_held_back_is_not_lost(tmp_path):
    spool = LogSpool(tmp_path, [b"s3cret"])
    spool.take([Chunk(STDOUT, b"the end is s3c")])
    assert spool.file.read_bytes() == b"the end is s3c"


def test_much_output_takes_little_memory(tmp_path):
    spool = LogSpool(tmp_path, [])
    chunk = Chunk(STDOUT, b"0123456789abcde\n" * 4096)
    tracemalloc.start()
    spool.take(chunk for _ in range(1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spool.file.stat().st_size == 64 * 1024 * 1000
    assert peak < 4 * 2**20
    assert len(spool.tail) == 16 * 1024


def test_a_place_that_takes_nothing_is_an_error_on_record_and_the_end_is_known(tmp_path):
    (tmp_path / "logs").write_text("a file in the way")
    spool = LogSpool(tmp_path / "logs", [])
    spool.take([Chunk(STDOUT, b"the end")])
    assert isinstance(spool.error, FileExistsError | NotADirectoryError)
    assert spool.tail == b"the end"


def test_a_full_disk_leaves_no_half_of_a_log(tmp_path, monkeypatch):
    """``/dev/full`` takes nothing, as a full disk does."""
    monkeypatch.setattr("container_backend.runs.output.spool.LOG", "full")
    (tmp_path / "full").symlink_to("/dev/full")
    spool = LogSpool(tmp_path, [])
    spool.take([Chunk(STDOUT, b"x" * 2**21), Chunk(STDOUT, b"the end")])
    assert spool.error is not None
    assert spool.error.strerror == "No space left on device"
    assert spool.tail.endswith(b"xthe end")
    assert list(tmp_path.iterdir()) == []


def test_the_last_lines():
    assert last_lines(b"a\nb\r\n\n  c\rd \n\xff", 4) == ["b", "  c", "d", "\ufffd"]
    assert last_lines(b"", 3) == []


def test_a_torn_frame_at_the_end_of_a_file_is_left_out(tmp_path):
    file = tmp_path / "frames"
    whole = struct.pack(">BxxxI", STDERR, 5) + b"whole"
    file.write_bytes(whole + struct.pack(">BxxxI", STDOUT, 9) + b"torn")
    assert list(frames_in(file)) == [Chunk(STDERR, b"whole")]


def test_output_beyond_what_is_kept_is_dropped_and_that_is_said(tmp_path):
    spool = LogSpool(tmp_path, (), 10)
    spool.take([Chunk(STDOUT, b"12345678"), Chunk(STDOUT, b"90abcdef"), Chunk(STDOUT, b"the end")])
    kept = spool.file.read_bytes()
    assert kept.startswith(b"1234567890\n=== 13 B more were dropped")
    assert b"trust_project" in kept
    assert spool.tail.endswith(b"abcdefthe end")
