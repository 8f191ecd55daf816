"""When something is due for a run."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from container_backend import labels_and_tags
from container_backend.container.described import RunContainer
from container_backend.container.marks import CANCELLED, container_name
from container_backend.container.status_and_reason import Signs
from container_backend.engine.events import Event
from container_backend.runs.ending.course import Seen
from container_backend.runs.supervise.watched import Watched


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, in its first place."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def watched() -> Watched:
    return Watched("submission", "sqlite://", Seen("1"))


def container(timeout: str = "", ending: str = "") -> RunContainer:
    labels = {labels_and_tags.LABEL_TIMEOUT: timeout} if timeout else {}
    state = {"Status": "running"}
    return RunContainer("id", container_name("1", ending), labels, state, {}, "true")


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
    watched.ended(None)
    assert watched.progress_due == math.inf


def test_a_timeout_is_from_the_start_of_the_program(clock, watched):
    watched.runs(container("30"), passed=12)
    assert watched.seen.deadline == clock[0] + 18
    watched.runs(container(), passed=12)
    assert watched.seen.deadline == math.inf


def test_a_clock_that_jumps_moves_no_deadline(clock, watched, monkeypatch):
    watched.runs(container("30"), passed=0)
    monkeypatch.setattr(time, "time", lambda: 10e9)
    clock[0] += 10
    watched.runs(container("30", CANCELLED), passed=None)
    assert watched.seen.deadline == clock[0] + 20


def test_the_clocks_say_when_a_program_was_started_that_is_found_running(
    clock, watched, monkeypatch
):
    monkeypatch.setattr(time, "time", lambda: 1_767_225_612.0)
    state = {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z"}
    watched.runs(replace(container("30"), state=state), passed=None)
    assert watched.seen.deadline == clock[0] + 18


def test_a_decision_is_due_at_the_end_and_never_while_a_finisher_has_the_run(clock, watched):
    assert watched.next_due == math.inf
    watched.ended(container())
    assert watched.next_due == clock[0]
    watched.busy = True
    assert watched.next_due == math.inf


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


def test_what_an_engine_did_on_its_way_down_is_not_a_signal_of_a_client(watched):
    watched.take(event("start"))
    watched.take(event("kill", signal="15"))
    assert watched.seen.signs == Signs(signal=15)
    watched.engine_was_away()
    assert watched.seen.signs == Signs(engine_lost=True)


def test_what_had_died_before_the_engine_went_was_ended_by_that_signal(watched):
    for each in (event("start"), event("kill", signal="9"), event("die")):
        watched.take(each)
    watched.engine_was_away()
    assert watched.seen.signs == Signs(signal=9, engine_lost=True)


@pytest.mark.parametrize("others", [("kill", "oom"), ("oom", "kill")])
def test_a_program_that_is_started_again_begins_anew(watched, others):
    for action in (*others, "die", "start"):
        watched.take(event(action, signal="9"))
    assert watched.seen.signs == Signs()
    assert not watched.has_died
