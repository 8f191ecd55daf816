"""Labels and tags that others wrote."""

from __future__ import annotations

import pytest

from container_backend import labels_and_tags
from container_backend import labels_and_tags as names
from container_backend.container.described import read_container
from container_backend.machine.outside import (
    base_digest_in,
    count_of,
    exit_code_of,
    hash_in,
    seconds_of,
)
from container_backend.runs.ending.course import Seen
from container_backend.runs.supervise.watched import Watched

JUNK = ["", " ", "abc", "nan", "inf", "-inf", "1e400", "-1", "0x10", "1_0", "٣", "²", "9" * 5000, "1\n2", "\0"]  # fmt: skip


@pytest.mark.parametrize("text", [*JUNK, "0", "1e300", None])
def test_what_is_not_a_time_that_may_pass_is_none(text):
    assert seconds_of(text) in {None, 10.0, 3.0}  # Python's own ways to write 10 and 3


@pytest.mark.parametrize("text", [*JUNK, "1e9", "1.5", None])
def test_what_is_not_a_count_is_none(text):
    assert count_of(text) is None
    if text != "-1":
        assert exit_code_of(text) is None


def test_what_is_written_by_us_is_read():
    assert [seconds_of("0.5"), seconds_of("1e+06"), seconds_of("86400")] == [0.5, 1e6, 86_400]
    assert [count_of("0"), count_of("3")] == [0, 3]
    assert [exit_code_of("0"), exit_code_of("-1"), exit_code_of("137")] == [0, -1, 137]


@pytest.mark.parametrize("text", [*JUNK, "/home/me", "../x", "0" * 63, "A" * 64, "0" * 64 + "\n"])
def test_what_is_no_hash_is_none(text):
    assert hash_in({labels_and_tags.LABEL_ENVIRONMENT_HASH: text}) == ""
    assert base_digest_in({labels_and_tags.LABEL_BASE_DIGEST: f"sha256:{text}"}) == ""


@pytest.mark.parametrize("text", JUNK)
def test_no_label_of_a_container_raises(text):
    """Nor does what is done with it."""
    said = {
        "Id": "1",
        "Name": "/x",
        "Config": {"Labels": dict.fromkeys(labels_and_tags.NO_LABELS, text), "StopTimeout": -1},
        "State": {"Status": "running"},
    }
    found = read_container(said)
    assert (found.run_id, found.submission, found.retries, found.grace) == (found.run_id, "", 0, 0)
    watched = Watched("submission", "sqlite://", Seen(found.run_id))
    watched.runs(found, 0.0)
    assert not found.is_ours_to_finish


def test_a_container_without_labels_has_no_owner():
    said = {"Id": "1", "Name": "/x", "Config": {"Labels": None}, "State": {}}
    assert not read_container(said).is_ours_to_finish


def test_the_labels_that_a_container_must_not_inherit_are_all_that_there_are():
    ours = {
        value
        for name, value in vars(names).items()
        if name.startswith("LABEL_") and value != labels_and_tags.LABEL_PREFIX
    }
    assert set(labels_and_tags.NO_LABELS) == ours
    assert set(labels_and_tags.NO_LABELS.values()) == {""}
    assert labels_and_tags.LABEL_TIMEOUT in ours
