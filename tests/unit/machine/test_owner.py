"""Whose runs they are."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from container_backend.labels_and_tags import ENV_OWNER
from container_backend.machine.owner import owner_id

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_the_same_each_time_and_another_for_another_user(tmp_path):
    mine, others = ({"XDG_STATE_HOME": str(tmp_path / name)} for name in ("me", "you"))
    assert owner_id(mine) == owner_id(mine)
    assert owner_id(mine) != owner_id(others)


def test_many_at_once_agree(tmp_path):
    together = threading.Barrier(20)

    def ask(folder: Path) -> str:
        together.wait()
        return owner_id({"XDG_STATE_HOME": str(folder)})

    with ThreadPoolExecutor(20) as pool:
        for number in range(20):
            folder = tmp_path / str(number)
            assert len(set(pool.map(ask, [folder] * 20))) == 1
            assert [file.name for file in (folder / "container-backend").iterdir()] == ["owner"]


def test_in_a_container_it_is_that_of_the_host(tmp_path):
    environ = {"XDG_STATE_HOME": str(tmp_path), ENV_OWNER: "the host's"}
    assert owner_id(environ) == "the host's"
    assert list(tmp_path.iterdir()) == []


def test_where_it_cannot_be_written_down_there_is_one_nevertheless(tmp_path):
    (tmp_path / "file").touch()
    assert owner_id({"XDG_STATE_HOME": str(tmp_path / "file")})
