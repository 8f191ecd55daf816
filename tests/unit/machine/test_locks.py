"""Files that are there whole, or not at all."""

from __future__ import annotations

import pytest

from container_backend.machine.locks import write_whole


def test_what_was_there_is_replaced_and_nothing_stays_beside_it(tmp_path):
    for text in ("one", "zwei ½"):
        write_whole(tmp_path / "note", text)
    assert (tmp_path / "note").read_text(encoding="utf-8") == "zwei ½"
    assert [file.name for file in tmp_path.iterdir()] == ["note"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    (tmp_path / "note").mkdir()
    with pytest.raises(OSError, match="note"):
        write_whole(tmp_path / "note", "text")
    assert [file.name for file in tmp_path.iterdir()] == ["note"]
