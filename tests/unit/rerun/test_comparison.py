"""Two runs side by side."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_backend.rerun.comparison import (
    BUILT_AGAIN,
    DIFFERS,
    SAME,
    UNKNOWN,
    RunFacts,
    compare,
    relative_difference,
)

RUN = RunFacts(
    run_id="a" * 32,
    status="FINISHED",
    entry_point="main",
    image=f"sha256:{'1' * 64}",
    environment="e" * 64,
    base=f"sha256:{'2' * 64}",
    packages={"numpy": "2.0", "six": "1.16"},
    code=f"sha256:{'3' * 64}",
    commit="c" * 40,
    parameters={"n": "1"},
    metrics={"loss": 0.1, "accuracy": 0.9},
)


def verdicts(other: RunFacts, run: RunFacts = RUN) -> dict[str, str]:
    lines = compare(run, other).lines
    return {f"{line.what} {line.name}".strip(): line.verdict for line in lines}


def test_a_run_is_the_same_as_itself():
    compared = compare(RUN, replace(RUN, run_id="b" * 32))
    assert compared.is_same
    assert {line.verdict for line in compared.lines} == {SAME}


@pytest.mark.parametrize(
    ("other", "differing"),
    [
        ({"status": "FAILED"}, {"status"}),
        ({"image": "x", "environment": "f"}, {"image"}),
        ({"base": "x"}, {"base image"}),
        ({"packages": {"numpy": "2.1", "six": "1.16"}}, {"packages", "packages numpy"}),
        ({"packages": {"numpy": "2.0"}}, {"packages", "packages six"}),
        ({"code": "x"}, {"code"}),
        ({"entry_point": "x"}, {"entry point"}),
        ({"parameters": {"n": "1", "m": "2"}}, {"parameters", "parameters m"}),
        ({"metrics": {"loss": 0.2, "accuracy": 0.9}}, {"metrics", "metrics loss"}),
        ({"metrics": {"accuracy": 0.9}}, {"metrics", "metrics loss"}),
    ],
)
def test_what_differs_is_said_and_nothing_else(other, differing):
    found = verdicts(replace(RUN, **other))
    assert {name for name, verdict in found.items() if verdict == DIFFERS} == differing
    assert not compare(RUN, replace(RUN, **other)).is_same


def test_an_image_that_was_built_again_is_no_difference():
    other = replace(RUN, image=f"sha256:{'9' * 64}")
    assert verdicts(other)["image"] == BUILT_AGAIN
    assert compare(RUN, other).is_same
    changed = replace(other, packages={"numpy": "2.1"})
    assert verdicts(changed)["image"] == DIFFERS


def test_code_is_compared_by_what_was_sent_and_else_by_its_commit():
    assert verdicts(replace(RUN, commit="other"))["code"] == SAME
    old = replace(RUN, code="")
    assert verdicts(replace(old, commit="other"), old)["code"] == DIFFERS
    assert verdicts(old, old)["code"] == SAME


def test_what_neither_says_is_not_known():
    nothing = RunFacts("a", "FINISHED")
    found = verdicts(nothing, nothing)
    assert found["packages"] == found["image"] == found["code"] == UNKNOWN
    assert compare(nothing, nothing).is_same
    assert verdicts(nothing)["packages"] == DIFFERS


def test_the_table_says_by_how_much():
    other = replace(RUN, run_id="b" * 32, metrics={"loss": 0.125, "accuracy": 0.9})
    lines = compare(RUN, other).as_text().splitlines()
    assert lines[0].split() == ["a" * 12, "b" * 12]
    assert lines[-1].split() == ["loss", "0.1", "0.125", "differs", "by", "0.2"]
    assert lines[-2].split() == ["accuracy", "0.9", "0.9", "same"]


def test_a_difference_in_the_last_digit_is_one():
    other = replace(RUN, metrics={"loss": math.nextafter(0.1, 1), "accuracy": 0.9})
    assert verdicts(other)["metrics loss"] == DIFFERS


@pytest.mark.parametrize(
    ("left", "right", "difference"),
    [
        (1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, -0.0, 0.0), (math.nan, math.nan, 0.0),
        (math.inf, math.inf, 0.0), (4.0, 5.0, 0.2), (-4.0, 4.0, 2.0), (0.0, 1.0, 1.0),
        (math.nan, 1.0, None), (math.inf, 1.0, None), (math.inf, -math.inf, None),
    ],
)  # fmt: skip
def test_relative_differences(left, right, difference):
    assert relative_difference(left, right) == difference
    assert relative_difference(right, left) == difference


@given(st.floats(), st.floats())
def test_a_relative_difference_is_nothing_only_for_equal_numbers(left, right):
    found = relative_difference(left, right)
    equal = left == right or (math.isnan(left) and math.isnan(right))
    assert (found == 0.0) == equal
    assert found is None or found >= 0.0
