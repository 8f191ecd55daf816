"""The engine's events, taken apart wherever they are cut, and what they say of a container."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_backend.container.following import Followed, Follower, after_loss, with_event
from container_backend.container.status_and_reason import Signs
from container_backend.engine import EngineHost
from container_backend.engine.events import Event, EventStream


class _Answer:
    """What the engine sends, in pieces of a size."""

    def __init__(self, data: bytes, size: int) -> None:
        self.raw = self
        self._data, self._size = io.BytesIO(data), size

    def read1(self) -> bytes:
        return self._data.read(self._size)


def stream(data: bytes, size: int) -> EventStream:
    made = EventStream.__new__(EventStream)
    made._response, made.position = _Answer(data, size), None
    return made


def sent(action: str, container: str, nano: int, **attributes: str) -> bytes:
    said = {
        "Action": action,
        "Actor": {"ID": container, "Attributes": attributes},
        "timeNano": nano,
    }
    return json.dumps(said, ensure_ascii=False).encode() + b"\n"


@given(st.integers(1, 400))
def test_events_arrive_whole_however_they_are_cut(size):
    data = sent("start", "a", 1_700_000_000_000_000_001, name="ünï") + sent(
        "die", "b", 1_700_000_000_999_999_999, exitCode="3"
    )
    read = stream(data, size)
    assert list(read) == [
        Event("start", "a", {"name": "ünï"}),
        Event("die", "b", {"exitCode": "3"}),
    ]
    assert read.position == "1700000001.000000000"


def test_a_torn_event_at_the_end_is_none():
    assert list(stream(sent("die", "a", 1) + b'{"Action": "st', 64)) == [Event("die", "a", {})]


def event(action: str, container: str = "mine", **attributes: str) -> Event:
    return Event(action, container, attributes)


def test_signs():
    assert with_event(Signs(), event("oom")) == Signs(out_of_memory=True)
    assert with_event(Signs(), event("kill", signal="9")) == Signs(signal=9)
    assert with_event(Signs(), event("kill", signal="SIGKILL")) == Signs()
    assert with_event(Signs(signal=9, out_of_memory=True), event("start")) == Signs()
    assert with_event(Signs(signal=9), event("rename")) == Signs(signal=9)
    assert with_event(Signs(), event("die", exitCode="255")) == Signs(exit_code=255)
    assert with_event(Signs(exit_code=255), event("start")) == Signs()
    assert after_loss(Signs(exit_code=255), has_died=True).exit_code == 255
    assert after_loss(Signs(signal=15), has_died=False) == Signs(engine_lost=True)
    assert after_loss(Signs(signal=15), has_died=True) == Signs(signal=15, engine_lost=True)


@pytest.fixture
def follower() -> Follower:
    """One whose stream is open already."""
    made = Follower(EngineHost("unix:///never/asked.sock"))
    made._reader = object()
    made.opened(None, [], was_away=False)
    return made


def test_all_who_follow_a_container_are_told_and_no_others(follower):
    both, other = [follower.follow("mine") for _ in range(2)], follower.follow("another")
    follower.happened(event("kill", signal="15"))
    follower.happened(event("die"))
    follower.happened(event("die", "unknown"))
    assert [each.signs for each in [*both, other]] == [Signs(signal=15)] * 2 + [Signs()]
    follower.leave(both[0])
    follower.leave(both[0])
    follower.happened(event("oom"))
    assert [each.signs.out_of_memory for each in both] == [False, True]


def test_an_engine_that_was_away_is_on_record_until_the_container_is_seen_alive(follower):
    followed = follower.follow("mine")
    follower.lost(EOFError())
    assert followed.is_lost
    follower.opened(None, [event("oom"), event("die", "another")], was_away=True)
    assert not followed.is_lost
    assert followed.signs == Signs(out_of_memory=True, engine_lost=True)
    followed.note_alive()
    assert followed.signs == Signs(out_of_memory=True)


def test_a_wait_ends_with_the_end():
    followed = Followed("mine")
    followed.take(event("die"))
    followed.wait(3600)
    followed.wait_for_death(3600)
