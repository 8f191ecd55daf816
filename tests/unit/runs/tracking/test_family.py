"""What a program has made is known again by another proxy, and nothing else."""

from __future__ import annotations

import pytest

from container_backend.runs.tracking.rules.family import Family


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x85", "\x0b"])
def test_a_name_adds_nothing_else(tmp_path, end):
    made = Family(tmp_path / "family", "own")
    made.add("registered", f"x{end}runs other")
    found = Family(tmp_path / "family", "own")
    assert found.has("registered", f"x{end}runs other")
    assert found.ids("runs") == ["own"]


def test_a_line_that_is_cut_off_is_left_out(tmp_path):
    Family(tmp_path / "family", "own").add("runs", "child")
    with (tmp_path / "family").open("a") as file:
        file.write('["runs", "ot')
    assert Family(tmp_path / "family", "own").ids("runs") == ["child", "own"]
