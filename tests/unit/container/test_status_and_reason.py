"""A container's state → a run's status and reason."""

from __future__ import annotations

import pytest

from container_backend.container.status_and_reason import (
    NEVER_CREATED,
    Outcome,
    Signs,
    outcome_of,
    outcome_of_removed,
)


def test_zero_is_finished():
    assert outcome_of({"ExitCode": 0}) == Outcome("FINISHED", "", 0)


@pytest.mark.parametrize(
    ("code", "reason", "cause"),
    [
        (1, "the program ended with exit code 1", "program"),
        (126, "command is not executable (exit code 126)", "program"),
        (127, "command not found (exit code 127)", "program"),
        (
            137,
            "killed from outside, most likely for want of memory: SIGKILL (exit code 137)",
            "killed",
        ),
        (139, "ended by SIGSEGV (exit code 139)", "signal"),
        (143, "ended by SIGTERM (exit code 143)", "signal"),
        (200, "the program ended with exit code 200", "program"),
    ],
)
def test_anything_else_is_failed(code, reason, cause):
    assert outcome_of({"ExitCode": code}) == Outcome("FAILED", reason, code, cause)


@pytest.mark.parametrize("state", [{"OOMKilled": True}, {}])
def test_out_of_memory_is_said_even_where_the_exit_code_is_another(state):
    outcome = outcome_of({"ExitCode": 1, **state}, signs=Signs(out_of_memory=True))
    assert (outcome.status, outcome.out_of_memory) == ("FAILED", True)
    assert "out of memory" in outcome.reason


def test_a_program_that_does_without_a_child_that_ran_out_of_memory_has_finished():
    state = {"ExitCode": 0, "OOMKilled": True}
    assert outcome_of(state, signs=Signs(out_of_memory=True)).status == "FINISHED"


def test_what_the_engine_says_comes_first():
    outcome = outcome_of({"ExitCode": 128, "Error": "no such device"})
    assert outcome == Outcome("FAILED", "no such device (exit code 128)", 128, "not_started")


@pytest.mark.parametrize("code", [0, 1, 137, 143])
def test_cancelled_is_killed_however_the_program_took_it(code):
    outcome = outcome_of({"ExitCode": code}, ending="cancelled")
    assert outcome == Outcome("KILLED", "cancelled", code, "cancelled")


@pytest.mark.parametrize("code", [0, 143])
def test_too_long_is_failed_however_the_program_took_it(code):
    outcome = outcome_of({"ExitCode": code}, ending="timeout", timeout=2.5)
    reason = "it took longer than its timeout of 2.5 s"
    assert outcome == Outcome("FAILED", reason, code, "timeout")


def test_an_exit_code_is_the_programs_where_the_engine_told_of_its_end():
    told = outcome_of({"ExitCode": 255}, signs=Signs(exit_code=255))
    assert told == Outcome("FAILED", "the program ended with exit code 255", 255, "program")
    lost = outcome_of({"ExitCode": 255})
    reason = "the engine was restarted, or lost the container (exit code 255)"
    assert lost == Outcome("FAILED", reason, 255, "engine")


@pytest.mark.parametrize("code", [0, 2, 127])
def test_a_program_that_was_not_reached_has_no_exit_code(code):
    outcome = outcome_of({"ExitCode": code}, signs=Signs(swallowed_by=("echo",)))
    assert (outcome.status, outcome.cause, outcome.exit_code) == ("FAILED", "not_started", None)
    assert 'entry point ["echo"] does not run the command' in outcome.reason


def test_what_the_engine_ended_was_not_swallowed():
    signs = Signs(swallowed_by=("echo",), engine_lost=True)
    assert outcome_of({"ExitCode": 143}, signs=signs).cause == "engine"
    assert outcome_of({"ExitCode": 143}, ending="cancelled", signs=signs).status == "KILLED"


def test_an_engine_that_ends_its_containers_tells_of_it():
    signs = Signs(signal=15, engine_lost=True, exit_code=255)
    assert outcome_of({"ExitCode": 255}, signs=signs).cause == "engine"


def test_a_signal_that_the_engine_was_told_to_send_is_of_a_client():
    outcome = outcome_of({"ExitCode": 143}, signs=Signs(signal=15))
    assert outcome.cause == "killed"
    assert "a client of the engine sent SIGTERM" in outcome.reason


@pytest.mark.parametrize(("code", "signal"), [(143, 0), (137, 0), (0, 15), (7, 15), (255, 0)])
def test_what_the_engine_ended_with_itself_is_the_engines(code, signal):
    signs = Signs(signal=signal, engine_lost=True)
    assert outcome_of({"ExitCode": code}, signs=signs).cause == "engine"


@pytest.mark.parametrize(("code", "status"), [(0, "FINISHED"), (3, "FAILED")])
def test_what_ended_by_itself_while_the_engine_was_away_is_the_programs(code, status):
    outcome = outcome_of({"ExitCode": code}, signs=Signs(engine_lost=True))
    assert outcome.status == status
    assert outcome.cause in {"", "program"}


def test_what_was_never_started_says_why():
    refused = outcome_of({"Status": "created", "ExitCode": 128, "Error": "no such device"})
    assert refused.cause == "not_started"
    assert "no such device" in refused.reason
    assert outcome_of({"Status": "created", "ExitCode": 0, "Error": ""}) == NEVER_CREATED


@pytest.mark.parametrize(
    ("ending", "status", "cause"),
    [
        ("", "FAILED", "removed"),
        ("cancelled", "KILLED", "cancelled"),
        ("timeout", "FAILED", "timeout"),
    ],
)
def test_a_container_that_is_gone_says_what_its_name_said(ending, status, cause):
    outcome = outcome_of_removed(ending, 3)
    assert (outcome.status, outcome.cause) == (status, cause)
