"""The script of the build that gives packages their bytecode, in a small environment of its own."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "templates" / "compile_bytecode.py"


@pytest.fixture
def environment(tmp_path):
    """An environment with two packages; gives its folder."""
    root = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
    site = next(root.glob("lib/python3*/site-packages"))
    sources = {
        "one/__init__.py": "VALUE = 1\n",
        "one/data.txt": "x",
        "one/tests/test_it.py": "VALUE = 1\n",
        "one/template.py": "def {{ name }}(:\n",
        "two.py": "VALUE = 2\n",
    }
    for name, text in sources.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    for name in ("one", "two"):
        register(site, name, {path: "x" for path in sources if path.startswith(name)})
    (tmp_path / "lock.toml").write_text(
        '[[packages]]\nname = "one"\n[[packages]]\nname = "two"\n[[packages]]\nname = "absent"\n'
    )
    return root


def register(site: Path, name: str, hashes: dict[str, str]) -> None:
    """A package is installed that says to have these files, of these hashes."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = (f"{path},sha256={digest},1\n" for path, digest in hashes.items())
    (info / "RECORD").write_text("".join(lines))


def finish(environment: Path) -> str:
    folder = environment.parent
    return subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, environment, folder / "cache", folder / "lock.toml"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def run_two(environment: Path) -> str:
    return subprocess.run(
        [environment / "bin" / "python", "-c", "import two; print(two.VALUE)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def bytecode(environment: Path) -> dict[str, bytes]:
    found = environment.rglob("*.pyc")
    return {path.name.partition(".")[0]: path.read_bytes() for path in found}


def test_modules_are_compiled_but_not_tests_and_what_is_no_python(environment):
    assert finish(environment) == "compiled 3 of 3 modules of 3 packages\n"
    assert set(bytecode(environment)) == {"__init__", "two"}


def test_python_takes_the_bytecode_and_does_not_compile_again(environment):
    finish(environment)
    shown = subprocess.run(
        [environment / "bin" / "python", "-v", "-c", "import one, two"],
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    for name in ("one/__pycache__/__init__", "__pycache__/two"):
        assert any("matches" in line and name in line for line in shown.splitlines())


def test_what_was_compiled_before_is_taken_from_the_cache_and_is_the_same(environment):
    finish(environment)
    first = bytecode(environment)
    for path in environment.rglob("*.pyc"):
        path.unlink()
    assert finish(environment) == "compiled 0 of 3 modules of 3 packages\n"
    assert bytecode(environment) == first


def test_another_file_of_a_package_is_compiled_again(environment):
    finish(environment)
    two = next(environment.glob("lib/python3*/site-packages/two.py"))
    two.write_text("VALUE = 4\n")  # whatever the package says of itself
    assert finish(environment) == "compiled 1 of 3 modules of 3 packages\n"
    assert run_two(environment) == "4\n"


def test_a_file_of_two_packages_is_compiled_once_unless_they_differ(environment):
    """As mlflow's and mlflow-skinny's are, be they installed one after the other or at once."""
    site = next(environment.glob("lib/python3*/site-packages"))
    register(site, "Same", {"two.py": "x", "one/__init__.py": "other"})
    lock = environment.parent / "lock.toml"
    lock.write_text('[[packages]]\nname = "two"\n[[packages]]\nname = "same"\n')
    assert finish(environment) == "compiled 2 of 2 modules of 2 packages\n"
    lock.write_text('[[packages]]\nname = "one"\n')
    assert finish(environment) == "compiled 2 of 2 modules of 1 packages\n"


def test_the_file_on_disk_counts_where_two_packages_disagree(environment):
    site = next(environment.glob("lib/python3*/site-packages"))
    register(site, "Other", {"two.py": "other"})
    finish(environment)
    (site / "two.py").write_text("VALUE = 3\n")  # of the same size, and time
    assert finish(environment) == "compiled 1 of 3 modules of 3 packages\n"
    assert run_two(environment) == "3\n"


def test_all_files_get_one_time(environment):
    finish(environment)
    site = next(environment.glob("lib/python3*/site-packages"))
    times = {path.stat().st_mtime for path in (site / "one").rglob("*") if path.is_file()}
    assert len(times) == 1
    # Zip archives, which some programs make of packages, know no time before 1980.
    zipfile.ZipInfo.from_file(site / "one" / "data.txt")
