"""A container's state → a run's status and reason."""

from __future__ import annotations

import pytest

from container_backend.state import Outcome, outcome_of


def test_zero_is_finished():
    assert outcome_of({"ExitCode": 0}) == Outcome("FINISHED", "", 0)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1, "the program ended with exit code 1"),
        (126, "command is not executable (exit code 126)"),
        (127, "command not found (exit code 127)"),
        (137, "killed from outside, most likely out of memory (SIGKILL, exit code 137)"),
        (139, "ended by SIGSEGV (exit code 139)"),
        (143, "ended by SIGTERM (exit code 143)"),
        (200, "the program ended with exit code 200"),
    ],
)
def test_anything_else_is_failed(code, reason):
    assert outcome_of({"ExitCode": code}) == Outcome("FAILED", reason, code)


def test_out_of_memory_is_said_even_where_the_exit_code_is_another():
    outcome = outcome_of({"ExitCode": 1, "OOMKilled": True})
    assert (outcome.status, outcome.out_of_memory) == ("FAILED", True)
    assert "out of memory" in outcome.reason


def test_what_the_engine_says_comes_first():
    assert outcome_of({"ExitCode": 128, "Error": "no such device"}).reason == (
        "no such device (exit code 128)"
    )


@pytest.mark.parametrize("code", [0, 1, 137, 143])
def test_cancelled_is_killed_however_the_program_took_it(code):
    assert outcome_of({"ExitCode": code}, cancelled=True) == Outcome("KILLED", "cancelled", code)
