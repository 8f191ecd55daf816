"""What a process that watches a run does next, for all who watch."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_backend import labels_and_tags
from container_backend.container.described import RunContainer
from container_backend.container.marks import CANCELLED, KEPT, TIMED_OUT, container_name
from container_backend.container.status_and_reason import Signs
from container_backend.runs.ending.course import (
    Finish,
    Hold,
    Leave,
    Seen,
    Start,
    Stop,
    TryAgain,
    Wait,
    deadline_of,
    decide,
)

NOW = 1000.0
STARTED = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:01:00Z"
RUNNING = {"Status": "running", "StartedAt": STARTED}
# By the engine's own code for a container that it lost, and by the program's.
LOST = {"Status": "exited", "StartedAt": STARTED, "ExitCode": 255}
FAILED = {"Status": "exited", "StartedAt": STARTED, "ExitCode": 7}
GOOD = {"Status": "exited", "StartedAt": STARTED, "ExitCode": 0}
NEVER_STARTED = {"Status": "created"}
REFUSED = {**FAILED, "Error": "no such device"}
KILLED = {"Status": "exited", "StartedAt": STARTED, "ExitCode": 137}


def container(
    state: dict[str, object],
    mark: str = "",
    *,
    retries: int = 0,
    program: bool = False,
    timeout: float | None = None,
) -> RunContainer:
    labels = {labels_and_tags.LABEL_RUN_ID: "0" * 32, labels_and_tags.LABEL_RETRIES: str(retries)}
    if program:
        labels[labels_and_tags.LABEL_RETRY_PROGRAM] = "true"
    if timeout is not None:
        labels[labels_and_tags.LABEL_TIMEOUT] = str(timeout)
    return RunContainer("id", container_name("1", mark), labels, state, {}, "true", grace=10)


def seen(found: RunContainer | None, hold: Hold = Hold.OWN, **known: object) -> Seen:
    """A run whose container is looked at now."""
    signs = known.pop("signs", Signs())
    return Seen("1", hold, **known).looked_at(found, signs, NOW)


MINE = [Hold.OWN, Hold.LEFT]
ALL = list(Hold)
LOST_TWICE = container(LOST, retries=2)


# A program that runs.


@pytest.mark.parametrize("hold", ALL)
def test_a_program_without_a_timeout_is_waited_for(hold):
    assert decide(seen(container(RUNNING), hold), NOW) == Wait(math.inf)
    assert decide(Seen("1", hold), NOW) == Wait(math.inf)  # not looked at yet


@pytest.mark.parametrize("hold", [Hold.OWN, Hold.LEFT, Hold.TAKEN, Hold.NO_ENTRY])
def test_a_program_is_stopped_when_its_time_is_over(hold):
    run = Seen("1", hold).looked_at(container(RUNNING, timeout=30), Signs(), NOW, passed=12)
    assert decide(run, NOW) == Wait(NOW + 18)
    assert decide(run, NOW + 18) == Stop(TIMED_OUT)
    assert decide(replace(run, is_stopping=True), NOW + 18) == Wait(math.inf)


def test_a_look_without_a_start_moves_no_deadline():
    run = Seen("1", deadline=NOW + 5)
    for _ in range(2):
        run = run.looked_at(container(RUNNING, timeout=30), Signs(), NOW)
    assert decide(run, NOW) == Wait(NOW + 5)
    assert (deadline_of(None, NOW), deadline_of(30, NOW)) == (math.inf, NOW + 30)


@pytest.mark.parametrize("mark", [CANCELLED, TIMED_OUT])
def test_a_run_is_stopped_whose_mark_was_set_by_a_process_that_died(mark):
    run = seen(container(RUNNING, mark), Hold.LEFT, deadline=NOW - 1)
    assert decide(run, NOW) == Wait(NOW + 12)  # its grace, and two seconds
    again = run.looked_at(container(RUNNING, mark), Signs(), NOW + 5)
    assert decide(again, NOW + 12) == Stop(mark)


def test_a_process_that_only_waits_stops_nothing():
    run = Seen("1", Hold.BYSTANDER, deadline=NOW - 1)
    assert decide(run.looked_at(container(RUNNING), Signs(), NOW), NOW) == Wait(math.inf)


def test_a_program_that_runs_was_not_ended_by_the_engine():
    run = seen(container(RUNNING), signs=Signs(engine_lost=True, out_of_memory=True))
    assert run.signs == Signs(out_of_memory=True)


# A program that has ended.


@pytest.mark.parametrize("state", [GOOD, FAILED])
@pytest.mark.parametrize("hold", MINE)
def test_an_end_is_written_at_once(state, hold):
    run = seen(container(state, retries=3), hold)
    assert decide(run, NOW) == Finish(run.ending)


@pytest.mark.parametrize("hold", MINE)
def test_a_signal_that_no_client_sent_may_be_the_end_of_the_engine(hold):
    run = seen(container(KILLED), hold, signs=Signs(signal=9))
    assert decide(run, NOW) == Wait(NOW + 3)
    assert decide(run, NOW + 3) == Finish(run.ending)
    lost = replace(run, signs=Signs(signal=9, engine_lost=True))
    assert decide(lost, NOW) == Finish(lost.ending)
    ours = seen(container(KILLED, CANCELLED), hold, signs=Signs(signal=9))
    assert decide(ours, NOW) == Finish(ours.ending)


def test_a_second_look_begins_no_second_wait():
    run = seen(container(KILLED), signs=Signs(signal=9))
    run = run.looked_at(container(KILLED), Signs(signal=9), NOW + 2)
    assert decide(run, NOW + 3) == Finish(run.ending)


def test_while_the_engine_is_away_nothing_is_decided():
    run = seen(LOST_TWICE).without_engine(NOW)
    assert decide(run, NOW + 100) == Wait(NOW + 101)
    assert run.without_engine(NOW + 5).away_since == NOW
    assert isinstance(decide(run.looked_at(LOST_TWICE, Signs(), NOW), NOW), TryAgain)


def test_the_run_of_another_process_is_its_own():
    assert decide(seen(container(FAILED), Hold.TAKEN), NOW) == Wait(NOW + 1)
    assert decide(seen(None, Hold.TAKEN), NOW) == Wait(NOW + 1)


def test_a_container_that_was_never_started_may_be_about_to_be():
    run = seen(container(NEVER_STARTED), Hold.LEFT)
    assert decide(run, NOW) == Wait(NOW + 1)
    assert decide(run, NOW + 1) == Finish(run.ending)


def test_a_run_of_another_machine_is_left_to_it_for_a_while():
    run = seen(container(FAILED), Hold.NO_ENTRY)
    assert decide(run, NOW) == Wait(NOW + 5)
    assert decide(run, NOW + 5) == Finish(run.ending)


def test_a_missing_container_is_an_end():
    last = container(RUNNING)
    run = Seen("1").looked_at(last, Signs(), NOW).looked_at(None, Signs(signal=9), NOW)
    assert decide(run, NOW) == Finish(run.ending)
    assert (run.ending.container, run.ending.there) == (last, None)
    left = replace(run, hold=Hold.LEFT)
    assert decide(left, NOW) == Wait(NOW + 1)
    assert decide(left, NOW + 1) == Finish(run.ending)
    # An entry without a container is of a client that died before it made one.
    never = Seen("", Hold.LEFT, is_gone=True, ended_at=NOW)
    assert decide(never, NOW) == Finish(never.ending)


@pytest.mark.parametrize("away_since", [None, NOW])
def test_a_missing_container_without_an_entry_was_finished(away_since):
    run = replace(seen(None, Hold.NO_ENTRY), away_since=away_since)
    assert decide(run, NOW) == Leave(run.ending)


@pytest.mark.parametrize("hold", [Hold.OWN, Hold.LEFT, Hold.NO_ENTRY])
def test_a_container_that_is_kept_was_finished(hold):
    run = seen(container(FAILED, KEPT, retries=3, program=True), hold)
    assert decide(run, NOW) == Leave(run.ending)


# A process that only waits.


def test_who_only_waits_finishes_what_all_others_have_left():
    run = seen(container(FAILED), Hold.BYSTANDER)
    assert decide(run, NOW) == Wait(NOW + 10)
    assert decide(run, NOW + 10) == Finish(run.ending)
    resumed = replace(run, attempts=2, starts_at=NOW + 60)
    assert decide(resumed, NOW + 10) == Wait(NOW + 70)


@pytest.mark.parametrize("starts_at", [None, NOW])
def test_who_only_waits_starts_nothing(starts_at):
    run = seen(LOST_TWICE, Hold.BYSTANDER, starts_at=starts_at)
    assert decide(run, NOW + 10) == Wait(NOW + 20)


# A program that is tried again.


@pytest.mark.parametrize("hold", MINE)
def test_what_is_tried_again_is_noted_and_then_started(hold):
    run = seen(LOST_TWICE, hold)
    course = decide(run, NOW)
    assert isinstance(course, TryAgain)
    assert (course.attempt, course.pause) == (2, 1.0)
    assert "engine" in course.reason
    run = run.noted(2, NOW + 1)
    assert decide(run, NOW) == Wait(NOW + 1)
    assert decide(run, NOW + 1) == Start()
    run = run.started(NOW + 1)
    assert decide(run, NOW + 1) == Wait(math.inf)
    assert run.signs == Signs()


def test_a_program_that_is_started_again_has_its_whole_time():
    run = seen(container(LOST, retries=1, timeout=30)).noted(2, NOW).started(NOW + 7)
    assert decide(run, NOW + 8) == Wait(NOW + 37)


@pytest.mark.parametrize("hold", MINE)
@pytest.mark.parametrize("state", [LOST, REFUSED], ids=["no answer", "refused"])
def test_a_start_that_fails_is_an_attempt_and_is_tried_again(hold, state):
    run = seen(LOST_TWICE, hold).noted(2, NOW).not_started()
    run = run.looked_at(container(state, retries=2), Signs(), NOW)
    course = decide(run, NOW)
    assert isinstance(course, TryAgain)
    assert (course.attempt, course.pause) == (3, 2.0)
    run = run.noted(3, NOW).not_started().looked_at(container(state, retries=2), Signs(), NOW)
    assert decide(run, NOW) == Finish(run.ending)
    assert run.ending.attempts == 3


def test_a_start_that_failed_before_this_process_watched_is_tried_again():
    run = seen(container(REFUSED, retries=2), Hold.LEFT, attempts=2)
    assert isinstance(decide(run, NOW), TryAgain)


def test_a_first_start_that_is_refused_is_not_tried_again():
    refused = {"Status": "created", "Error": "no such device"}
    run = seen(container(refused, retries=2), Hold.LEFT)
    assert decide(run, NOW) == Finish(run.ending)


def test_a_start_whose_answer_was_lost_is_no_failure():
    """The engine started the program, which has ended, and well or by itself."""
    run = seen(LOST_TWICE).noted(2, NOW).not_started()
    run = run.looked_at(container({**GOOD, "StartedAt": LATER}, retries=2), Signs(), NOW)
    assert decide(run, NOW) == Finish(run.ending)


def test_a_run_that_is_cancelled_between_two_attempts_is_not_started_again():
    run = seen(LOST_TWICE).noted(2, NOW + 1)
    run = run.looked_at(container(LOST, CANCELLED, retries=2), Signs(), NOW)
    assert decide(run, NOW + 1) == Finish(run.ending)
    refused = run.looked_at(container(REFUSED, CANCELLED, retries=2), Signs(), NOW).not_started()
    assert decide(refused, NOW + 1) == Finish(refused.ending)


# Whatever happens.

ENDS = st.sampled_from([LOST, FAILED, GOOD, REFUSED, KILLED, "not started", "gone"])


@given(
    retries=st.integers(0, 4),
    program=st.booleans(),
    hold=st.sampled_from(MINE),
    ends=st.lists(ENDS, min_size=12, max_size=12),
    signal=st.sampled_from([0, 9, 15]),
)
def test_a_program_is_started_as_often_as_it_says_at_most_and_then_finished(
    retries, program, hold, ends, signal
):
    now, starts, run = NOW, 1, Seen("1", hold)
    for end in ends:
        if end == "gone":
            run = run.looked_at(None, Signs(signal=signal), now)
        elif end == "not started":
            failed = container(LOST, retries=retries, program=program)
            run = run.looked_at(failed, run.signs, now).not_started()
        else:
            found = container(end, retries=retries, program=program)
            run = run.looked_at(found, Signs(signal=signal), now)
        while isinstance(course := decide(run, now), Wait | TryAgain):
            if isinstance(course, TryAgain):
                assert course.attempt == run.attempts + 1
                run = run.noted(course.attempt, now + course.pause)
            else:
                assert now < course.until < math.inf
                now = course.until
        if not isinstance(course, Start):
            break
        starts += 1
        run = run.started(now)
    assert isinstance(course, Finish)
    assert starts == run.attempts <= retries + 1


@given(
    times=st.lists(st.floats(0, 1e6), min_size=1, max_size=20).map(sorted),
    timeout=st.floats(0.1, 1e5),
    mark=st.sampled_from(["", CANCELLED, TIMED_OUT]),
)
def test_a_program_is_stopped_once(times, timeout, mark):
    found = container(RUNNING, mark, timeout=timeout)
    run = Seen("1", Hold.LEFT).looked_at(found, Signs(), 0.0, passed=0.0)
    stops = 0
    for now in times:
        if isinstance(decide(run, now), Stop):
            stops += 1
            run = replace(run, is_stopping=True)
        run = run.looked_at(found, Signs(), now)
    assert stops == (times[-1] >= (12 if mark else timeout))


STATES = st.sampled_from([GOOD, FAILED, LOST, KILLED, REFUSED, NEVER_STARTED, None])


@given(
    state=STATES,
    mark=st.sampled_from(["", CANCELLED, TIMED_OUT, KEPT]),
    hold=st.sampled_from(ALL),
    attempts=st.integers(1, 3),
    signs=st.builds(
        Signs, signal=st.sampled_from([0, 9]), engine_lost=st.booleans(), exit_code=st.just(None)
    ),
    later=st.floats(0, 1e6),
)
def test_time_alone_never_takes_back_an_end(state, mark, hold, attempts, signs, later):
    found = None if state is None else container(state, mark, retries=1)
    run = seen(found, hold, attempts=attempts, signs=signs)
    for now in (NOW, NOW + 3, NOW + 5, NOW + 10):
        course = decide(run, now)
        if isinstance(course, Finish | Leave):
            assert decide(run, now + later) == course
