"""The script of the build that splits a lock into layers, in this interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from container_backend.environment.lock import read_lock
from container_backend.image.dockerfile import LAYERS, LOCAL_LAYER

UV = Path(sys.executable).with_name("uv")
SCRIPT = Path(__file__).parents[3] / "templates" / "split_lock.py"
A, B = "a" * 64, "b" * 64
# As uv writes them.
BIG = f"""
[[packages]]
name = "numpy"
version = "2.4.6"
sdist = {{ url = "https://i.test/numpy-2.4.6.tar.gz", size = 20735553, hashes = {{ sha256 = "{A}" }} }}
wheels = [{{ url = "https://i.test/numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl", size = 16955283, hashes = {{ sha256 = "{B}" }} }}]
"""
SMALL = f"""
[[packages]]
name = "six"
version = "1.17.0"
marker = "python_full_version < '4'"
wheels = [{{ url = "https://i.test/six-1.17.0-py2.py3-none-any.whl", size = 11050, hashes = {{ sha256 = "{B}" }} }}]
"""
FROM_GIT = """
[[packages]]
name = "mylib"
version = "1.2"
vcs = { type = "git", url = "https://g.test/r", requested-revision = "main", commit-id = "aec933", subdirectory = "sub" }
"""
FROM_ADDRESS = f"""
[[packages]]
name = "other"
version = "1.0"
archive = {{ url = "https://i.test/other.zip", hashes = {{ sha256 = "{A}" }} }}
"""
LOCAL_FOLDER = """
[[packages]]
name = "mine"
version = "0.1"
directory = { path = "../code/lib ü", editable = false }
"""
LOCAL_WHEEL = f"""
[[packages]]
name = "wheeled"
version = "0.1"
archive = {{ path = "../code/wheels/wheeled-0.1-py3-none-any.whl", hashes = {{ sha256 = "{A}" }} }}
"""


@pytest.fixture
def split(tmp_path):
    def run(*packages: str, direct: str = "", source: str = "requirements") -> str:
        folder = tmp_path / "lock"
        layers = (*LAYERS, LOCAL_LAYER)
        for layer in layers:
            (folder / layer).mkdir(parents=True, exist_ok=True)
        (folder / "pylock.toml").write_text("lock-version = '1.0'\n\n" + "\n".join(packages))
        (tmp_path / "direct.txt").write_text(direct)
        (tmp_path / "index.txt").write_text("https://i.test/simple\n")
        code = tmp_path / "code"
        subprocess.run(
            [sys.executable, SCRIPT, UV, folder, tmp_path, "/dev/null", code, source, *layers],
            check=True,
            capture_output=True,
        )
        return (folder / "requirements.lock").read_text()

    return run


def test_packages_are_put_into_layers_by_size_and_kind(split):
    lock = read_lock(split(BIG, SMALL, LOCAL_FOLDER, LOCAL_WHEEL))
    assert lock.layers == {
        "heavy": ["numpy==2.4.6"],
        "light": ["six==1.17.0"],
        "local": ["./lib ü", "./wheels/wheeled-0.1-py3-none-any.whl"],
    }


def test_a_small_package_that_the_project_names_is_in_a_layer_of_its_own(split):
    lock = read_lock(split(BIG, SMALL, FROM_ADDRESS, direct="numpy\nsix\n"))
    assert lock.layers == {
        "heavy": ["numpy==2.4.6"],
        "light": ["other @ https://i.test/other.zip"],
        "direct": ["six==1.17.0"],
    }


def test_a_package_more_moves_no_other(split):
    before = read_lock(split(BIG, SMALL)).layers
    after = read_lock(split(BIG, FROM_ADDRESS, SMALL)).layers
    assert after["heavy"] == before["heavy"]
    assert after["light"] == ["other @ https://i.test/other.zip", *before["light"]]


def test_packages_of_the_index_are_written_with_it(split, tmp_path):
    """Otherwise uv does not find them among its downloads of before."""
    split(BIG, FROM_ADDRESS)
    heavy = (tmp_path / "lock" / "heavy" / "pylock.toml").read_text()
    assert '\nversion = "2.4.6"\nindex = "https://i.test/simple"\n' in heavy
    assert "index = " not in (tmp_path / "lock" / "light" / "pylock.toml").read_text()


def test_what_comes_from_git_is_locked_by_its_commit(split):
    assert "\nmylib @ git+https://g.test/r@aec933#subdirectory=sub\n" in split(FROM_GIT)


def test_hashes_and_markers_are_written_as_pip_reads_them(split):
    lock = split(SMALL, BIG)
    assert f"six==1.17.0 ; python_full_version < '4' \\\n    --hash=sha256:{B}\n" in lock
    assert f"numpy==2.4.6 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n" in lock


def test_a_lock_without_layers_is_read_too():
    lock = read_lock("# by another tool\nsix==1.17.0 \\\n    --hash=sha256:ab\ntabulate==1\n")
    assert lock.packages == ["six==1.17.0", "tabulate==1"]
