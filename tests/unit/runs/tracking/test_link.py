"""Connections over one pair of streams."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from container_backend.runs.tracking.serving import link
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_BIG = os.urandom(5_000_000)


@pytest.fixture
def server():
    """Sends back in upper case what it gets, connection by connection; `kept` are those that it leaves alone."""
    listening = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def answer(connected: socket.socket) -> None:
        with connected, suppress(OSError):
            while data := connected.recv(65536):
                connected.sendall(data.upper())

    def accept() -> None:
        while True:
            try:
                connected, _ = listening.accept()
            except OSError:
                return
            if connected.recv(1) == b"k":
                kept.append(connected)
            else:
                threading.Thread(target=answer, args=[connected], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listening.getsockname()
    listening.close()
    for connected in kept:
        connected.close()


@contextmanager
def linked(server: tuple[str, int]) -> Iterator[link.Link]:
    """Both ends of a link; the second one connects to a server."""
    ours, theirs = socket.socketpair()
    first = link.Link(ours.recv, ours.sendall)
    second = link.Link(theirs.recv, theirs.sendall, lambda: socket.create_connection(server))
    threads = [threading.Thread(target=each.run, daemon=True) for each in (first, second)]
    for thread in threads:
        thread.start()
    yield first
    for each in (ours, theirs):
        each.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    ours.close()
    theirs.close()


@pytest.fixture
def ends(server):
    with linked(server) as first:
        yield first


def connection(first: link.Link, kind: bytes = b"-") -> socket.socket:
    program, carried = socket.socketpair()
    first.begin(carried)
    with suppress(BrokenPipeError):  # refused already
        program.sendall(kind)
    return program


def exchange(program: socket.socket, data: bytes) -> bytes:
    """Send everything, and read as much."""
    threading.Thread(target=program.sendall, args=[data], daemon=True).start()
    found = bytearray()
    while len(found) < len(data):
        found += program.recv(65536)
    return bytes(found)


def test_many_connections_are_carried_at_once(ends):
    programs = [connection(ends) for _ in range(20)]
    found = {}

    def ask(number: int) -> None:
        found[number] = exchange(programs[number], bytes([97 + number]) * 200_000)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {number: bytes([65 + number]) * 200_000 for number in range(20)}
    for program in programs:
        program.close()


def test_much_is_carried_whole(ends):
    with closing(connection(ends)) as program:
        assert exchange(program, _BIG) == _BIG.upper()


def test_a_program_that_does_not_read_holds_up_no_other(ends):
    with closing(connection(ends)) as stuck, closing(connection(ends)) as other:
        stuck.settimeout(0.5)
        with pytest.raises(TimeoutError):  # until all windows are full
            stuck.sendall(_BIG * 20)
        assert exchange(other, b"still there") == b"STILL THERE"


def test_connections_end_at_both_ends(ends):
    for _ in range(200):
        with closing(connection(ends)) as program:
            program.settimeout(30)
            assert exchange(program, b"a") == b"A"
            program.shutdown(socket.SHUT_WR)
            assert program.recv(1) == b""


def test_a_server_that_refuses_closes_the_connection():
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        address = free.getsockname()
    with linked(address) as first, closing(connection(first)) as program:
        assert program.recv(1) == b""


@pytest.mark.parametrize(
    "frames",
    [
        link._HEADER.pack(1, link._DATA, 2**32 - 1),
        link._HEADER.pack(1, link._DATA, 65536) + b"x" * 65536,
    ],
    ids=["a frame without end", "more than the window"],
)
def test_the_end_in_a_container_takes_no_memory(server, frames):
    """What runs there may be something else."""
    ours, theirs = socket.socketpair()
    second = link.Link(theirs.recv, theirs.sendall, lambda: socket.create_connection(server))
    ended = []

    def run() -> None:
        try:
            second.run()
        except ValueError as error:
            ended.append(error)
        theirs.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ours.sendall(link._HEADER.pack(1, link._OPENED, 0) + link._HEADER.pack(1, link._DATA, 1) + b"k")
    wait_until(lambda: len(second._connections) == 1)
    with suppress(OSError):  # the link ends
        for _ in range(1000):
            ours.sendall(frames)
    thread.join(10)
    assert not thread.is_alive()
    ours.close()
