"""A run's description: what MLflow's page shows of it."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from container_backend.container.status_and_reason import Outcome
from container_backend.store.description import Facts, describe_end, duration

FACTS = Facts(
    image="team/image:1",
    digest="sha256:abc",
    command="python main.py | tee `date`",
    seconds=4.25,
    attempts=1,
    again=["container-backend", "run", "my project", "-P", "x=it's"],
)
FINISHED = Outcome("FINISHED", "", 0)
FAILED = Outcome("FAILED", "the program ended with exit code 3", 3, "program")


def test_it_says_image_digest_command_exit_duration_and_how_to_repeat_it():
    text = describe_end(FACTS, FINISHED, ["the last line"])
    assert "| status | **FINISHED** (exit code 0) |" in text
    assert "| command | `` python main.py \\| tee `date` `` |" in text
    assert "| image | `team/image:1` |" in text
    assert "| digest | `sha256:abc` |" in text
    assert "| duration | 4.2 s |" in text
    assert shlex.join(FACTS.again) in text.splitlines()
    assert "the last line" not in text
    assert "attempts" not in text


def test_of_a_run_that_failed_the_last_lines_and_the_reason():
    text = describe_end(
        replace(FACTS, attempts=3, remarks=["No room."]), FAILED, ["```", "Error: x"]
    )
    assert "| status | **FAILED**: the program ended with exit code 3 |" in text
    assert "| attempts | 3 |" in text
    assert "\n\nNo room.\n" in text
    assert "````\n```\nError: x\n````" in text


def test_a_run_without_a_container_has_neither_duration_nor_digest():
    text = describe_end(replace(FACTS, digest="", seconds=None), FAILED, [])
    assert "digest" not in text
    assert "duration" not in text


def test_what_another_client_wrote_stays_and_ours_is_written_anew():
    first = describe_end(FACTS, FAILED, ["old"], "My *own* words.\n")
    second = describe_end(FACTS, FINISHED, [], first)
    assert second.startswith("My *own* words.\n\n")
    assert second.partition("-->")[2] == describe_end(FACTS, FINISHED, []).partition("-->")[2]


@given(st.lists(st.text(max_size=2000), max_size=20), st.text(max_size=3000))
@example(["x" * 2000] * 20, "y" * 1000)
def test_the_lines_fit_into_a_tag_and_the_command_stays(lines, existing):
    text = describe_end(FACTS, FAILED, lines, existing)
    assert len(text) <= 5000
    assert "To repeat it:" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.4, "59.4 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
