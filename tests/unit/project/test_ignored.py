"""`.dockerignore` leaves out of a project what it leaves out of a build."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container_backend.errors import InvalidProject
from container_backend.project import ignored
from container_backend.project.files import included_files
from container_backend.project.ignored import _Pattern, not_ignored
from tests.support.dockerignore import FILES, LEFT_OUT, LEFT_OUT_BY_BUILDX, REFUSED, make_files


@pytest.mark.parametrize("text", [*LEFT_OUT, *LEFT_OUT_BY_BUILDX])
def test_files_are_left_out_as_buildkit_does_it(text, tmp_path):
    make_files(tmp_path)
    (tmp_path / ".dockerignore").write_text(text)
    assert {*FILES} - {*included_files(tmp_path)} == {**LEFT_OUT, **LEFT_OUT_BY_BUILDX}[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_pattern_is_said(text, tmp_path):
    (tmp_path / ".dockerignore").write_text(text)
    with pytest.raises(InvalidProject, match=r"\.dockerignore: '.*' is no pattern"):
        list(included_files(tmp_path))


PARTS = [*"ab/*?.", "**", "**/", "[ab]", "[^a]", "[a-b]", "\\*", "\\["]


@settings(derandomize=True, max_examples=300)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=9), st.text("ab/.*[", max_size=9))
def test_a_pattern_matches_alike_with_and_without_an_expression(parts, name):
    pattern = posixpath.normpath("".join(parts))
    by_expression = _Pattern(pattern)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ignored, "_MOST_FOR_EXPRESSIONS", 99)
        expected = by_expression.match(name)
        patch.setattr(ignored, "_MOST_FOR_EXPRESSIONS", -1)
        assert _Pattern(pattern).match(name) == expected, (pattern, name)


def test_a_pattern_of_many_wildcards_ends(tmp_path):
    """An expression takes hours for one name."""
    (tmp_path / ("a" * 200)).touch()
    (tmp_path / "kept").touch()
    patterns = ["*a" * 60 + "b", "**/" + "*a*" * 40 + "c"]
    assert set(not_ignored(tmp_path, patterns)) == {"a" * 200, "kept"}


def test_patterns_that_take_too_long_for_the_names_are_given_up(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(ignored, "_SECONDS", -1)
    with pytest.raises(ValueError, match="its patterns take more than"):
        list(not_ignored(tmp_path, ["a"]))
