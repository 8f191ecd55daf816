"""The options of commands for runs that were started before."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import click
import pytest

from container_backend.cli.runs import _since, complete_run
from container_backend.container.control import ambiguous, check_run_id
from container_backend.errors import InvalidInput


def since(value: str | None) -> float | None:
    return _since(None, click.Option(["--since"]), value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400)]
)
def test_so_long_ago(text, seconds):
    assert since(text) == pytest.approx(time.time() - seconds, abs=5)


def test_a_moment():
    noon = datetime(2026, 1, 31, 12, tzinfo=timezone.utc).timestamp()
    assert since("2026-01-31T12:00:00Z") == noon
    assert since("2026-01-31T13:00+01:00") == noon
    local = datetime(2026, 1, 31, 12).astimezone().timestamp()
    assert since("2026-01-31T12:00") == local
    assert since(None) is None


@pytest.mark.parametrize("text", ["", "5", "5x", "m", "-5m", "1.5h", "yesterday", "2026-13-01"])
def test_what_is_no_time_is_said_with_what_is_one(text):
    with pytest.raises(click.BadParameter, match="write it as 10m, 2h, 1d or 2026-01-31T12:00"):
        since(text)


def test_a_time_before_all_times_is_the_beginning():
    assert since("99999999999999d") == 0


def test_ids():
    assert check_run_id(" 0123ABC ") == "0123abc"
    for text in ("", "xyz", "0" * 33, "../x", "a%"):
        with pytest.raises(InvalidInput, match="is not the id of a run"):
            check_run_id(text)


def test_some_of_many_that_begin_alike_are_named():
    assert "2 runs begin with 'a': ab, ac.\nGive more" in str(ambiguous("a", ["ab", "ac"]))
    assert "7 runs begin with 'a': 0, 1, 2, 3, 4, …." in str(ambiguous("a", list("0123456")))


def test_without_an_engine_there_is_nothing_to_complete(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///missing/engine.sock")
    assert complete_run(None, None, "ab") == []
