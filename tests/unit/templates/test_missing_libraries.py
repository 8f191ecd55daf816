"""The script of the build that names shared libraries that nothing provides."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.elf import shared_library

TEMPLATES = Path(__file__).parents[3] / "templates"
SCRIPT = TEMPLATES / "missing_libraries.py"


@pytest.fixture
def site(tmp_path) -> Path:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    return site


def said(environment: Path, *words: str) -> str:
    return subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, environment, *words],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def write(file: Path, *needed: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(shared_library(*needed))


def test_what_nothing_provides_is_named_with_its_debian_package(site, tmp_path):
    write(site / "boost" / "lib.so", "libpq.so.0.none", "libc.so.6", "libzbar.so.0")
    write(site / "one.cpython-311-x86_64-linux-gnu.so", "libzbar.so.0")
    assert said(tmp_path) == (
        "The image lacks shared libraries: libpq.so.0.none (for boost), "
        'libzbar.so.0 (for boost). Put libzbar0 into apt.txt, or set "system_packages": "auto" in '
        "the backend config.\n"
    )
    assert said(tmp_path, "packages") == "libzbar0\n"


def test_what_a_package_or_a_driver_brings_is_not_missing(site, tmp_path):
    write(site / "a" / "_a.so", "libb.so.2", "libcuda.so.1", "ld-linux-x86-64.so.2")
    write(site / "b.libs" / "libb.so.2", "libssl-81259c47.so.1.1.1k")
    write(site / "nvidia" / "nvshmem" / "lib" / "net.so.3", "libmlx5.so.1")
    assert said(tmp_path) == ""


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 200, b"GROUP (x)"], ids=range(4)
)
def test_a_file_that_is_no_library_does_no_harm(site, tmp_path, content):
    (site / "x.so").write_bytes(content)
    assert said(tmp_path) == ""


def test_a_real_library_is_read():
    spec = importlib.util.spec_from_file_location("missing_libraries", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import pydantic_core._pydantic_core as real

    assert "libc.so.6" in module.needed_by(real.__file__)


def test_every_library_has_one_debian_package():
    lines = (TEMPLATES / "libraries.txt").read_text().splitlines()
    pairs = [line.split() for line in lines]
    assert all(len(pair) == 2 for pair in pairs)
    assert len({library for library, _ in pairs}) == len(pairs)
