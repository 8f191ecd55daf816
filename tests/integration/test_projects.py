"""The projects of ``tests/projects``, one for each kind that MLflow users have.

Each of them verifies inside of its container that it got what it declared; here is checked what it
looks like from outside. ``expected.yaml`` says what a run is given and what is logged of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

import container_backend
from container_backend import names
from tests.integration.conftest import ROOT, containers_of, only_run, runs

PROJECTS = ROOT / "tests" / "projects"
# Those that need something beside an engine have tests of their own.
SPECIAL = {"conda", "docker-env", "workflow", "siblings"}
PLAIN = sorted(path.name for path in PROJECTS.iterdir() if path.name not in SPECIAL)


@pytest.fixture
def fixture_project(workplace, tmp_path):
    """A copy of one of the projects; a parameter of type path may name ``given.txt``."""

    def copy(name: str) -> Path:
        (workplace / "given.txt").write_text("given\n")
        return Path(shutil.copytree(PROJECTS / name, tmp_path / name))

    return copy


def expectations(folder: Path) -> dict:
    file = folder / "expected.yaml"
    return yaml.safe_load(file.read_text()) if file.exists() else {}


def entry_point_of(folder: Path) -> str:
    return "main" if (folder / "MLproject").exists() else "main.py"


@pytest.mark.parametrize("name", PLAIN)
def test_a_project_gets_what_it_declares(name, fixture_project, engine):
    folder = fixture_project(name)
    expected = expectations(folder)
    run = container_backend.run(
        str(folder), entry_point_of(folder), parameters=expected.get("parameters")
    )
    found = only_run()
    assert found.info.status == "FINISHED"
    assert found.data.params == expected.get("logged", {})
    assert found.data.tags[names.TAG_ENVIRONMENT_HASH]
    assert found.data.tags["mlflow.project.entryPoint"] == entry_point_of(folder)
    assert containers_of(engine, run.run_id) == []


def test_two_entry_points_may_have_two_images(fixture_project):
    folder = str(fixture_project("entry-points"))
    assert container_backend.run(folder).get_status() == "FINISHED"
    assert container_backend.run(folder, "other").get_status() == "FINISHED"
    assert len({run.data.tags[names.TAG_ENVIRONMENT_HASH] for run in runs()}) == 2
    assert container_backend.build(folder) != container_backend.build(folder, entry_point="other")


def test_scripts_need_no_declaration(fixture_project, capfd):
    folder = str(fixture_project("requirements"))
    container_backend.run(folder, "run.sh", parameters={"x": "a b"})
    assert capfd.readouterr().out == "--x a b\n"


def test_what_follows_a_pipe_decides_nothing_unless_it_is_the_last(fixture_project):
    with pytest.raises(container_backend.RunFailed, match="exit code 3"):
        container_backend.run(str(fixture_project("shell")), "fails")


def test_changing_the_code_of_an_installed_package_is_seen(fixture_project, capfd):
    """An editable one needs no change of the image to say so; one that is not is built again."""
    folder = fixture_project("local-packages")
    first = container_backend.build(str(folder))
    (folder / "lib" / "fixture_lib" / "__init__.py").write_text('VALUE = "changed"\n')
    (folder / "show.py").write_text("import fixture_lib; print(fixture_lib.VALUE)")
    container_backend.run(str(folder), "show.py")
    assert capfd.readouterr().out == "changed\n"
    assert container_backend.build(str(folder)) != first
