"""The engine's frames are taken apart wherever they are cut."""

from __future__ import annotations

import io
import struct
import sys

from hypothesis import given
from hypothesis import strategies as st

from container_backend.runs.output.stream import STDERR, STDOUT, Chunk, console, demultiplex

frames = st.lists(
    st.builds(Chunk, st.sampled_from([STDOUT, STDERR]), st.binary(min_size=1, max_size=50))
)


def joined(chunks):
    """What came after each other on one stream is one piece: where it is cut means nothing."""
    pieces = []
    for stream, data in chunks:
        if pieces and pieces[-1][0] == stream:
            pieces[-1] = (stream, pieces[-1][1] + data)
        elif data:
            pieces.append((stream, data))
    return pieces


@given(frames, st.integers(1, 60))
def test_frames_arrive_whole_however_they_are_cut(sent, size):
    data = b"".join(struct.pack(">BxxxI", *(c.stream, len(c.data))) + c.data for c in sent)
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    assert joined(demultiplex(pieces)) == joined(sent)


def test_bytes_go_through_unchanged_to_their_stream(capfdbinary):
    write = console()
    write(Chunk(STDOUT, b"\xff\x00out"))
    write(Chunk(STDERR, b"err"))
    captured = capfdbinary.readouterr()
    assert (captured.out, captured.err) == (b"\xff\x00out", b"err")


def test_a_stream_of_text_takes_text(monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    console()(Chunk(STDOUT, "grün".encode()))
    assert text.getvalue() == "grün"


def test_plain_output_moves_nothing_on_a_terminal(capfdbinary):
    write = console(plain=True)
    steers = "\x1b[2Jgrün\t\u202e\r\n".encode()
    for at in range(len(steers)):  # also within a character
        write(Chunk(STDOUT, steers[at : at + 1]))
    write(Chunk(STDERR, b"\xff\x07"))
    captured = capfdbinary.readouterr()
    assert captured.out.decode() == "\\x1b[2Jgrün\t\\u202e\\r\n"
    assert captured.err == b"\\xff\\x07"
