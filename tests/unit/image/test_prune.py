"""Which environment images may go, and who holds which."""

from __future__ import annotations

import subprocess
import sys

import pytest

from container_backend.cli.images import image_table
from container_backend.engine import EngineHost
from container_backend.errors import InvalidConfig
from container_backend.image.prune import (
    ListedImage,
    choose_unused,
    forget_use,
    image_lock,
    parse_age,
    record_use,
    use_of,
)
from container_backend.machine.text import human_age, human_size

HOST = EngineHost("unix:///somewhere")
DAY = 86_400
NOW = 1000.0 * DAY


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def image(name: str, *, created: float, used: float | None = None, containers: int = 0):
    """Ages in days."""
    return ListedImage(
        hash=name * 64, id=f"sha256:{name}", names=(f"x:{name}",), python="3.11", size=1_070_000_000,
        shared=212_000_000, created=NOW - created * DAY,
        last_used=None if used is None else NOW - used * DAY, projects=("p",) if used else (),
        containers=containers,
    )  # fmt: skip


IMAGES = [
    image("a", created=90, used=1),
    image("b", created=60),
    image("c", created=50, containers=1),
    image("d", created=10),
    image("e", created=80, used=40),
]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "adeb"),
        ({"older_than": 30 * DAY}, "eb"),
        ({"keep_last": 2}, "eb"),
        ({"keep_last": 1, "older_than": 50 * DAY}, "b"),
        ({"older_than": 365 * DAY}, ""),
        ({"keep_last": 10}, ""),
    ],
)
def test_what_was_used_long_ago_goes_and_what_has_a_container_stays(options, expected):
    chosen = choose_unused(IMAGES, now=NOW, **options)
    assert "".join(image.hash[0] for image in chosen) == expected


def test_ages():
    assert [parse_age(text) for text in ("30d", "12h", "2w", "0s")] == [
        30 * DAY, 12 * 3600, 14 * DAY, 0
    ]  # fmt: skip
    for text in ("", "30", "d", "1 d", "-1d", "1y"):
        with pytest.raises(InvalidConfig, match="is not an age"):
            parse_age(text)


def test_use_is_on_record_until_it_is_forgotten():
    assert use_of(HOST, "a").last is None
    for project in ("one/ü", "two", "two"):
        record_use(HOST, "a", project)
    assert use_of(HOST, "a").projects == ("one/ü", "two")
    assert use_of(HOST, "a").last is not None
    assert use_of(HOST, "b").projects == ()
    assert use_of(EngineHost("tcp://elsewhere:1"), "a").projects == ()
    forget_use(HOST, "a")
    assert use_of(HOST, "a").last is None


def test_neither_a_hash_nor_a_project_is_a_way_to_another_folder(tmp_path, monkeypatch):
    """Both may come out of labels."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    mine = tmp_path / "home" / "projects" / "thesis.tex"
    mine.parent.mkdir(parents=True)
    mine.touch()
    for given in (str(mine.parents[1]), "../" * 4 + "home", "", ".."):
        with pytest.raises(ValueError, match="no environment hash"):
            forget_use(HOST, given)
    assert mine.exists()
    for project in ("..", ".", "../../x", ".hidden"):
        record_use(HOST, "a", project)
    assert set(use_of(HOST, "a").projects) == {"..", ".", "../../x", ".hidden"}


def test_users_share_a_lock_and_a_builder_does_not():
    with image_lock(HOST, "a") as one, image_lock(HOST, "a") as other:
        one.share()
        other.share()
        assert not one.try_to_own()
        other.close()
        assert one.try_to_own()
        with image_lock(HOST, "a") as third, image_lock(HOST, "b") as elsewhere:
            assert not third.try_to_own()
            assert elsewhere.try_to_own()


def test_a_lock_goes_with_its_process():
    program = (
        "import os\nfrom tests.unit.image.test_prune import HOST\n"
        "from container_backend.image.prune import image_lock\n"
        "with image_lock(HOST, 'a') as lock:\n    assert lock.try_to_own()\n    os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    with image_lock(HOST, "a") as lock:
        assert lock.try_to_own()


def test_a_state_that_cannot_be_written_stops_no_build(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with image_lock(HOST, "a") as lock:
        lock.share()
        lock.own()
    record_use(HOST, "a", "p")
    assert use_of(HOST, "a").projects == ()


def test_the_table():
    lines = image_table(IMAGES[:2], now=NOW).splitlines()
    assert lines[0].split() == [
        "HASH", "PYTHON", "SIZE", "SHARED", "CREATED", "LAST", "USED", "IN", "USE", "PROJECTS"
    ]  # fmt: skip
    assert lines[1].split() == [
        "a" * 12, "3.11", "1.07", "GB", "212", "MB", "90", "d", "1", "d", "0", "p"
    ]  # fmt: skip
    assert lines[2].split()[-3:] == ["-", "0", "-"]
    assert (human_size(0), human_size(999), human_size(2.5e12)) == ("0 B", "999 B", "2.5 TB")
    assert (human_age(5), human_age(120), human_age(7200)) == ("now", "2 min", "2 h")
