"""Runs that start runs: from the host, in the same container, in containers beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import pytest

import container_backend
from container_backend import labels_and_tags
from tests.support.on_engine import containers_of, environment_images
from tests.support.projects import EXAMPLE, ROOT
from tests.support.runs import logged_metrics, runs
from tests.support.waiting import wait_until

PROJECTS = ROOT / "tests" / "projects"


@pytest.fixture
def workflow(tmp_path) -> Path:
    """With the environment of the example, which is built already."""
    folder = shutil.copytree(PROJECTS / "workflow", tmp_path / "workflow")
    shutil.copy(EXAMPLE / "requirements.txt", folder)
    return Path(folder)


@pytest.fixture
def siblings(tmp_path, wheel) -> Path:
    folder = Path(shutil.copytree(PROJECTS / "siblings", tmp_path / "siblings"))
    shutil.copy(EXAMPLE / "requirements.txt", folder)
    shutil.copy(wheel, folder)
    environment = folder / "python_env.yaml"
    environment.write_text(environment.read_text().replace("package.whl", wheel.name))
    return folder


def steps_of(driver: str) -> list[mlflow.entities.Run]:
    return [run for run in runs() if run.data.tags.get("mlflow.parentRunId") == driver]


def test_a_driver_on_the_host_chains_steps_as_children_of_its_run(script, engine):
    folder = script(
        "import sys; print(sys.argv)", "{v: int, fail: {default: 0}}", "exit {fail}; echo {v}"
    )
    with mlflow.start_run() as driver:
        first = container_backend.run(folder, parameters={"v": 1})
        both = [
            mlflow.projects.run(folder, backend="docker", parameters={"v": v}, synchronous=False)
            for v in (2, 3)
        ]
        failing = container_backend.run(folder, parameters={"v": 4, "fail": 7}, synchronous=False)
        assert [run.wait() for run in both] == [True, True]
        assert failing.wait() is False
    steps = {run.info.run_id: run for run in steps_of(driver.info.run_id)}
    assert set(steps) == {run.run_id for run in (first, *both, failing)}
    assert steps[failing.run_id].info.status == "FAILED"
    assert steps[failing.run_id].data.tags[labels_and_tags.TAG_EXIT_CODE] == "7"
    wait_until(lambda: all(containers_of(engine, run_id) == [] for run_id in steps))


@pytest.mark.slow
def test_steps_of_a_program_run_in_its_own_container(workflow, example_image, engine):
    """The default backend, in a project that MLflow would make a virtual environment for."""
    before = environment_images(engine)
    driver = container_backend.run(str(workflow))
    found = mlflow.get_run(driver.run_id)
    assert found.info.status == "FINISHED"
    assert logged_metrics(found) == {"result": 12.0}
    steps = steps_of(driver.run_id)
    assert sorted(run.data.params["value"] for run in steps) == ["3", "6"]
    assert {run.info.status for run in steps} == {"FINISHED"}
    assert {run.data.tags["host"] for run in steps} == {
        found.data.tags[labels_and_tags.TAG_CONTAINER_ID][:12]
    }
    assert environment_images(engine) == before


@pytest.mark.slow  # an environment with this package and MLflow is built
def test_steps_of_a_program_run_in_containers_beside_it_where_that_is_allowed(
    siblings, example_image, engine
):
    driver = container_backend.run(str(siblings), backend_config={"allow_engine": True})
    found = mlflow.get_run(driver.run_id)
    assert (found.info.status, logged_metrics(found)) == ("FINISHED", {"result": 6.0})
    steps = steps_of(driver.run_id)
    hosts = [run.data.tags["host"] for run in steps]
    assert len({*hosts, found.data.tags[labels_and_tags.TAG_CONTAINER_ID][:12]}) == 3
    assert {run.info.status for run in steps} == {"FINISHED"}
    # The steps' programs set the status themselves, and the driver, which would have finished their
    # runs, ended: the supervisor of this machine does.
    wait_until(lambda: all(containers_of(engine, run.info.run_id) == [] for run in steps))
    steps = steps_of(driver.run_id)
    assert [run.data.tags[labels_and_tags.TAG_CONTAINER_ID][:12] for run in steps] == hosts


@pytest.mark.slow  # the same environment
def test_steps_of_this_backend_run_beside_their_driver_which_has_no_engine(siblings, example_image):
    driver = container_backend.run(str(siblings))
    found = mlflow.get_run(driver.run_id)
    assert (found.info.status, logged_metrics(found)) == ("FINISHED", {"result": 6.0})
    hosts = {run.data.tags["host"] for run in steps_of(driver.run_id)}
    assert len({*hosts, found.data.tags[labels_and_tags.TAG_CONTAINER_ID][:12]}) == 3


@pytest.mark.slow  # the same environment
def test_the_engine_is_out_of_reach_where_it_was_not_allowed(siblings, example_image, capfd):
    (siblings / "driver.py").write_text("import container_backend; container_backend.run('.')")
    with pytest.raises(container_backend.RunFailed):
        container_backend.run(str(siblings))
    assert "No Docker engine answers" in capfd.readouterr().err
