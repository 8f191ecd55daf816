"""How a run ended, from what is known of it."""

from __future__ import annotations

from container_backend import labels_and_tags
from container_backend.container.described import RunContainer
from container_backend.container.marks import CANCELLED, TIMED_OUT, container_name
from container_backend.container.status_and_reason import (
    CAUSE_OUT_OF_MEMORY,
    CAUSE_PROGRAM,
    CAUSE_REMOVED,
    CAUSE_TIMEOUT,
    FAILED,
    KILLED,
    NEVER_CREATED,
    Ending,
    Signs,
    outcome_at,
)


def container(ending: str = "", **said: object) -> RunContainer:
    labels = {labels_and_tags.LABEL_TIMEOUT: "2.5"}
    return RunContainer("id", container_name("1", ending), labels, said, {}, "true")


def test_a_container_that_is_there_says_it_itself():
    ended = Ending("1", container(Status="exited", ExitCode=3))
    assert outcome_at(ended).exit_code == 3
    assert outcome_at(ended).cause == CAUSE_PROGRAM


def test_what_was_seen_of_it_counts():
    ended = Ending("1", container(Status="exited", ExitCode=137), signs=Signs(out_of_memory=True))
    assert outcome_at(ended).cause == CAUSE_OUT_OF_MEMORY


def test_its_name_says_that_it_had_no_more_time():
    outcome = outcome_at(Ending("1", container(TIMED_OUT, Status="exited", ExitCode=0)))
    assert (outcome.status, outcome.cause) == (FAILED, CAUSE_TIMEOUT)
    assert "2.5 s" in outcome.reason


def test_one_that_is_gone_was_removed_or_was_stopped_before_that():
    last = container(Status="exited", ExitCode=0)
    assert outcome_at(Ending("1", last, is_gone=True)).cause == CAUSE_REMOVED
    assert outcome_at(Ending("1", None)).cause == CAUSE_REMOVED
    stopped = Ending("1", container(CANCELLED, Status="running"), is_gone=True)
    assert outcome_at(stopped).status == KILLED
    timed_out = Ending("1", container(TIMED_OUT, Status="running"), is_gone=True)
    assert "2.5 s" in outcome_at(timed_out).reason


def test_where_there_never_was_one_its_command_ended_too_early():
    assert outcome_at(Ending("1", None), was_created=False) == NEVER_CREATED
