"""The engine's log of a container, followed to its last byte."""

from __future__ import annotations

import threading

import pytest

from container_backend.runs.output.stream import STDERR, STDOUT, Chunk, read_log
from tests.support.client import client_of
from tests.support.on_engine import BASE
from tests.support.waiting import wait_until

# Two lines of a kind, so that they cannot be told apart by what they say.
_PROGRAM = """
    trap 'printf "the end"; exit 3' USR2
    echo error >&2; sleep 0.3; echo again; echo again; echo begun
    while :; do sleep 0.05; done
"""


@pytest.fixture
def begun(engine) -> str:
    """A container whose program has written four lines, and waits for a signal to end."""
    container = client_of(engine).api.create_container(BASE, ["sh", "-c", _PROGRAM])["Id"]
    client_of(engine).api.start(container)
    wait_until(lambda: b"begun" in b"".join(each.data for each in read_log(engine, container)))
    yield container
    client_of(engine).api.remove_container(container, force=True)


@pytest.mark.parametrize("attempt", range(6))
@pytest.mark.parametrize("tail", [None, 1])
def test_a_last_line_without_newline_is_not_lost_nor_any_line_shown_twice(
    engine, begun, tail, attempt
):
    """Engine 20.10 itself leaves it out in half of all cases."""
    found: list[Chunk] = []
    thread = threading.Thread(
        target=lambda: found.extend(read_log(engine, begun, follow=True, tail=tail))
    )
    thread.start()
    wait_until(lambda: found)
    client_of(engine).api.kill(begun, "SIGUSR2")
    thread.join(60)
    out = b"".join(each.data for each in found if each.stream == STDOUT)
    err = b"".join(each.data for each in found if each.stream == STDERR)
    assert out == (b"again\nagain\nbegun\nthe end" if tail is None else b"begun\nthe end")
    assert err == (b"error\n" if tail is None else b"")


def test_a_log_that_is_at_its_end_is_shown_once(engine, begun):
    client_of(engine).api.kill(begun, "SIGUSR2")
    client_of(engine).api.wait(begun)
    for follow in (True, False):
        found = list(read_log(engine, begun, follow=follow))
        assert b"".join(each.data for each in found).count(b"the end") == 1
        assert sum(each.data.count(b"again\n") for each in found) == 2
