"""A project in a zip file is what it was in the folder that the file was made of."""

from __future__ import annotations

import os
import stat
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from container_backend.errors import InvalidProject
from container_backend.project import fetch


def packed(folder: Path, **entries: tuple[str, int]) -> str:
    """A zip file; of each entry the text, and the mode as on Unix."""
    file = folder / "project.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name, (text, mode) in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, text)
    return str(file)


@pytest.fixture
def opened():
    with ExitStack() as needed:
        yield lambda uri: fetch(uri, None, needed).directory


@pytest.mark.parametrize("top", ["", "project-main/"])
def test_programs_and_links_of_a_zip_file_are_kept(top, tmp_path, opened):
    entries = {
        "run.sh": ("#!/bin/sh\n", 0o100755),
        "data/a.csv": ("1,2\n", 0o100644),
        "data/link": ("a.csv", stat.S_IFLNK | 0o777),
        "MLproject": ("name: x\n", 0),
    }
    root = opened(packed(tmp_path, **{f"{top}{name}": entry for name, entry in entries.items()}))
    assert os.access(root / "run.sh", os.X_OK)
    assert not (root / "data" / "a.csv").stat().st_mode & 0o111
    assert (root / "data" / "link").readlink() == Path("a.csv")
    assert (root / "data" / "link").read_text() == "1,2\n"


@pytest.mark.parametrize("name", ["link", "data/link"])
@pytest.mark.parametrize("target", ["{mine}", "{mine}/diary", "../../x"])
def test_a_link_of_a_zip_file_leads_nowhere_else(name, target, tmp_path, opened):
    """Also if it is all that the file has, and would be the folder of the project."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "diary").touch()
    uri = packed(tmp_path, **{name: (target.format(mine=mine), stat.S_IFLNK | 0o777)})
    with pytest.raises(InvalidProject, match="outside of the project"):
        opened(uri)
    assert list(mine.iterdir()) == [mine / "diary"]


def test_a_link_of_a_zip_file_to_itself_is_a_link(tmp_path, opened):
    root = opened(packed(tmp_path, link=("link", stat.S_IFLNK | 0o777)))
    assert (root / "link").is_symlink()


def test_nothing_is_written_through_a_link_of_a_zip_file(tmp_path, opened):
    (tmp_path / "mine").mkdir()
    link = (str(tmp_path / "mine"), stat.S_IFLNK | 0o777)
    for first, second in (("a", "a/x"), ("a/x", "a")):
        entries = {first: ("x", 0o100644), second: ("x", 0o100644), "a": link}
        with pytest.raises(InvalidProject):
            opened(packed(tmp_path, **entries))
    assert list((tmp_path / "mine").iterdir()) == []
