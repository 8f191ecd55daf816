"""What is tried again, and when."""

from __future__ import annotations

import time

import pytest

from container_backend import labels_and_tags
from container_backend.container.described import RunContainer
from container_backend.container.status_and_reason import (
    CAUSE_CANCELLED,
    CAUSE_ENGINE,
    CAUSE_KILLED,
    CAUSE_NOT_STARTED,
    CAUSE_OUT_OF_MEMORY,
    CAUSE_PROGRAM,
    CAUSE_REMOVED,
    CAUSE_SIGNAL,
    CAUSE_TIMEOUT,
    FAILED,
    FINISHED,
    Outcome,
)
from container_backend.errors import BuildError, ImageUnavailable
from container_backend.runs.ending.retries import may_retry, pause_before, retried


def container(retries: int, *, program: bool = False) -> RunContainer:
    labels = {labels_and_tags.LABEL_RETRIES: str(retries)}
    if program:
        labels[labels_and_tags.LABEL_RETRY_PROGRAM] = "true"
    return RunContainer("id", "name", labels, {}, {}, "true")


def failed(cause: str) -> Outcome:
    return Outcome(FAILED, "why", 1, cause)


OWN = [CAUSE_PROGRAM, CAUSE_SIGNAL, CAUSE_OUT_OF_MEMORY]
NEVER = [CAUSE_TIMEOUT, CAUSE_CANCELLED, CAUSE_REMOVED, CAUSE_KILLED, CAUSE_NOT_STARTED]


def test_a_lost_engine_is_tried_as_often_as_it_says():
    lost = failed(CAUSE_ENGINE)
    assert [may_retry(container(2), lost, attempt) for attempt in (1, 2, 3)] == [True, True, False]
    assert not may_retry(container(0), lost, 1)


@pytest.mark.parametrize("cause", OWN)
def test_the_programs_own_failure_is_tried_again_only_where_that_is_asked_for(cause):
    assert not may_retry(container(5), failed(cause), 1)
    assert may_retry(container(5, program=True), failed(cause), 1)


@pytest.mark.parametrize("cause", NEVER)
def test_what_a_user_wanted_is_never_tried_again(cause):
    assert not may_retry(container(5, program=True), failed(cause), 1)


def test_a_run_that_finished_is_not_tried_again():
    assert not may_retry(container(5, program=True), Outcome(FINISHED, "", 0), 1)


def test_pauses_grow_up_to_a_minute():
    assert [pause_before(attempt) for attempt in (2, 3, 4, 8, 9, 100)] == [1, 2, 4, 60, 60, 60]


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


def test_work_is_tried_again_for_its_cause_with_pauses(pauses):
    answers = iter([ImageUnavailable("one"), ImageUnavailable("two"), "there"])

    def work() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retried(work, 2, ImageUnavailable) == "there"
    assert pauses == [1, 2]


@pytest.mark.parametrize(
    ("error", "tries"), [(ImageUnavailable("gone"), 3), (BuildError("wrong"), 1)]
)
def test_the_last_failure_and_any_other_comes_as_it_is(pauses, error, tries):
    calls = []

    def work() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)) as caught:
        retried(work, 2, ImageUnavailable)
    assert caught.value is error
    assert len(calls) == tries
