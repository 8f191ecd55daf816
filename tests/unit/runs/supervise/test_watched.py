"""When something is due for a run."""

from __future__ import annotations

import math
import time

import pytest

from container_backend import naming
from container_backend.container.described import RunContainer
from container_backend.container.marks import CANCELLED, container_name
from container_backend.container.outcome import Signs
from container_backend.engine.events import Event
from container_backend.runs.supervise.watched import Watched


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, in its first place."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def watched() -> Watched:
    return Watched("submission", "sqlite://")


def container(timeout: str = "", ending: str = "") -> RunContainer:
    labels = {naming.LABEL_TIMEOUT: timeout} if timeout else {}
    return RunContainer("id", container_name("1", ending), labels, {}, {}, "true")


def event(action: str, **attributes: str) -> Event:
    return Event(action, "id", attributes)


def test_what_there_is_is_logged_after_a_minute_then_ever_more_seldom(clock, watched):
    watched.runs(container(), passed=0)
    pauses = []
    for _ in range(9):
        pauses.append(watched.progress_due - clock[0])
        clock[0] = watched.progress_due
        watched.made_progress()
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    clock[0] += 10
    due = watched.progress_due
    watched.runs(container(), passed=0)  # seen again: that moves nothing
    assert watched.progress_due == due
    watched.end(0)
    assert watched.progress_due == math.inf


def test_a_timeout_is_from_the_start_of_the_program(clock, watched):
    watched.runs(container("30"), passed=12)
    assert watched.deadline == clock[0] + 18
    watched.runs(container("30", CANCELLED), passed=12)
    assert watched.deadline == math.inf
    watched.runs(container(), passed=12)
    assert watched.deadline == math.inf


def test_the_first_moment_of_the_end_counts(clock, watched):
    assert not watched.has_ended
    watched.end(3)
    watched.end(5)
    assert watched.due == clock[0] + 3
    assert watched.has_ended
    watched.runs(container(), passed=0)  # it was started again
    assert not watched.has_ended


def test_a_store_that_is_back_soon_is_written_to_soon_and_one_that_is_not_is_not_hurried(
    clock, watched
):
    pauses = [watched.try_again(incomplete=False) for _ in range(40)]
    assert pauses == [2] * 30 + [30] * 10
    assert watched.due == clock[0] + 30
    assert watched.insists


def test_artifacts_are_not_insisted_on_for_longer_than_a_day(clock, watched):
    pauses = [watched.try_again(incomplete=True) for _ in range(149)]
    assert pauses[:3] == [30, 60, 90]
    assert max(pauses) == 600
    assert watched.insists
    watched.try_again(incomplete=True)
    assert not watched.insists
    assert 80_000 < sum(pauses) < 90_000


def test_what_an_engine_did_on_its_way_down_is_not_somebodys_signal(watched):
    watched.take(event("start"))
    watched.take(event("kill", signal="15"))
    assert watched.signs == Signs(signal=15)
    watched.engine_was_away()
    assert watched.signs == Signs(engine_lost=True)


def test_what_had_died_before_the_engine_went_was_ended_by_that_signal(watched):
    for each in (event("start"), event("kill", signal="9"), event("die")):
        watched.take(each)
    watched.engine_was_away()
    assert watched.signs == Signs(signal=9, engine_lost=True)


@pytest.mark.parametrize("others", [("kill", "oom"), ("oom", "kill")])
def test_a_program_that_is_started_again_begins_anew(watched, others):
    for action in (*others, "die", "start"):
        watched.take(event(action, signal="9"))
    assert watched.signs == Signs()
    assert not watched.has_died
