"""Times as an engine writes them."""

from __future__ import annotations

import pytest

from container_backend.engine.clock import parse_time, time_in_log


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-27T19:31:22.374376044Z", 1795807882.374376),
        ("2026-11-27T19:31:22Z", 1795807882.0),
        ("2026-11-27T20:31:22.5+01:00", 1795807882.5),
        ("2026-11-27T15:01:22.5-04:30", 1795807882.5),
    ],
)
def test_a_time_with_nanoseconds_in_any_zone(text, seconds):
    assert parse_time(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("text", ["", "0001-01-01T00:00:00Z", "yesterday", "2026-13-27T19:31:22Z"])
def test_what_has_not_happened(text):
    assert parse_time(text) is None


def test_a_time_lies_between_those_of_a_log():
    moment = time_in_log(1795807882.25)
    assert "2026-11-27T19:31:22.249999999Z" < moment <= "2026-11-27T19:31:22.250000000Z"
