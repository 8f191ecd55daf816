"""A project in a folder of a repository, which takes packages and lists of packages from beside it."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient

import container_backend
from container_backend import labels_and_tags
from tests.hostile.ways import WAYS
from tests.support.commands import run_command
from tests.support.on_engine import remove_images
from tests.support.packages import wheel
from tests.support.runs import runs

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "pyproject.toml": """
        [project]
        name = "fixture-of-all"
        version = "1"
        [build-system]
        requires = ["setuptools>=68"]
        build-backend = "setuptools.build_meta"
        [tool.setuptools]
        packages = ["fixture_of_all"]
    """,
    "fixture_of_all/__init__.py": "VALUE = 'of all'\n",
    "constraints.txt": "six<1.17\n",
    "steps/requirements.txt": "six\n-e ../..\nfixture-beside @ file:../../dist/fixture_beside-1.0-py3-none-any.whl\n",
    "steps/python_env.yaml": "dependencies: [-r ../requirements.txt, -c ../../constraints.txt]\n",
    "steps/train/MLproject": """
        python_env: ../python_env.yaml
        entry_points: {main: {command: python main.py}}
    """,
    "steps/train/main.py": """
        import fixture_beside, fixture_of_all, six
        assert fixture_of_all.__file__.startswith("/mlflow/environment/")
        print(fixture_of_all.VALUE, fixture_beside.VERSION, six.__version__)
    """,
}
SAID = "of all 1.0 1.16.0\n"
STEP = "#steps/train"


@pytest.fixture
def together(tmp_path) -> Path:
    """The repository, without git."""
    root = tmp_path / "all of it"
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    (root / "dist").mkdir()
    (root / "dist" / "fixture_beside-1.0-py3-none-any.whl").write_bytes(
        wheel("fixture_beside", "1.0")
    )
    return root


def environment_of(run_id: str) -> str:
    return MlflowClient().get_run(run_id).data.tags[labels_and_tags.TAG_ENVIRONMENT_HASH]


def test_a_project_takes_packages_from_beside_it(together, capfd):
    first = container_backend.run(f"{together}{STEP}").run_id
    assert capfd.readouterr().out == SAID
    (together / "fixture_of_all" / "__init__.py").write_text("VALUE = 'changed'\n")
    second = container_backend.run(str(together / "steps" / "train")).run_id
    assert capfd.readouterr().out == SAID.replace("of all", "changed")
    assert environment_of(first) != environment_of(second)


@pytest.mark.parametrize("way", ["git", pytest.param("zip", marks=pytest.mark.slow)])
def test_a_fetched_project_takes_packages_from_what_was_fetched_with_it(way, together, capfd):
    with WAYS[way](together) as uri:
        container_backend.run(f"{uri}{STEP}")
        assert capfd.readouterr().out == SAID


@pytest.mark.slow
def test_what_was_beside_a_project_is_there_when_its_run_is_repeated(together, base, engine, capfd):
    first = container_backend.run(f"{together}{STEP}", backend_config={"base_image": base}).run_id
    shutil.rmtree(together)
    remove_images(engine, MlflowClient().get_run(first).data.tags[labels_and_tags.TAG_IMAGE])
    capfd.readouterr()
    run_command("container-backend", "rerun", first, check=True)
    assert [run.info.status for run in runs()] == ["FINISHED", "FINISHED"]


@pytest.mark.slow
def test_a_lock_names_what_is_beside_the_project_by_its_own_path(together, capfd):
    step = together / "steps" / "train"
    run_command("container-backend", "lock", str(step), check=True)
    lines = (step / "requirements.lock").read_text().splitlines()
    assert "../.." in lines
    assert "../../dist/fixture_beside-1.0-py3-none-any.whl" in lines
    (together / "constraints.txt").write_text("six<1.16\n")  # the lock counts
    container_backend.run(str(step))
    assert capfd.readouterr().out == SAID
