"""What the launcher sends of a project."""

from __future__ import annotations

import importlib.util
import io
import os
import tarfile

import pytest

from tests.support.projects import ROOT


@pytest.fixture
def launcher():
    file = ROOT / "templates" / "container_backend_steps.py"
    spec = importlib.util.spec_from_file_location("container_backend_steps", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_tar_has_the_step_first_and_no_link_that_leads_out(tmp_path, launcher):
    root = tmp_path / "root"
    (root / "steps" / "x" / ".git").mkdir(parents=True)
    (root / "common").mkdir()
    for name in ("steps/x/a", "common/b", "z", "steps/x/.git/config"):
        (root / name).write_text(name)
    os.link(root / "steps/x/a", root / "steps/x/second")
    (root / "steps/x/common").symlink_to("../../common")
    (root / "python").symlink_to("/bin/sh")
    (root / "big").write_bytes(bytes(launcher._MOST_BYTES + 1))
    packed = io.BytesIO()
    launcher._pack(packed, str(root), str(root / "steps" / "x"), is_shared=True)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        names = tar.getnames()
        assert names == ["steps/x/a", "steps/x/common", "steps/x/second", "z", "common/b"]
        assert tar.getmember("steps/x/second").isreg()
        assert tar.getmember("steps/x/common").issym()


@pytest.mark.parametrize(
    ("uri", "entry_point", "name"),
    [
        ("steps/basic_cleaning", "main", "basic_cleaning"),
        ("https://host/repo.git#components/get_data/", "main", "get_data"),
        ("https://host/repo.git", "main", "repo.git"),
        (".", "train", "train"),
    ],
)
def test_a_step_is_named_as_people_name_it(launcher, uri, entry_point, name):
    assert launcher._name_of(uri, entry_point) == name
