"""Sizes and patterns as the docker command reads them; see also the archives of projects."""

from __future__ import annotations

import pytest
from docker.utils.build import Pattern
from hypothesis import given
from hypothesis import strategies as st

from container_backend.engine import syntax
from container_backend.engine.syntax import _Pattern, not_ignored, parse_size


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 512 * 2**20), ("1gb", 2**30), ("7", 7), ("1.5k", 1536)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["much", "12x", "m"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="memory"):
        parse_size(text)


@given(
    st.lists(st.sampled_from([*"ab/*?.", "**", "**/", "[ab]", "[!a]", "]", "\\\\"]), max_size=9),
    st.text("ab/.]\\\\", max_size=9),
)
def test_a_pattern_matches_what_it_matches_in_the_sdk(parts, name):
    pattern = "".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(syntax, "_MOST_FOR_EXPRESSIONS", -1)
        ours = _Pattern(pattern)
    assert ours.match(name) == Pattern(pattern).match(name), (pattern, name)


def test_a_pattern_of_many_wildcards_ends(tmp_path):
    """The SDK's expression takes hours for one name."""
    (tmp_path / ("a" * 200)).touch()
    (tmp_path / "kept").touch()
    patterns = ["*a" * 60 + "b", "**/" + "*a*" * 40 + "c"]
    assert set(not_ignored(tmp_path, patterns)) == {"a" * 200, "kept"}


def test_patterns_that_take_too_long_for_the_names_are_given_up(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(syntax, "_SECONDS", -1)
    with pytest.raises(ValueError, match="its patterns take more than"):
        list(not_ignored(tmp_path, ["a"]))
