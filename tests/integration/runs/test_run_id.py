"""A run that exists and goes on: one process at a time, and nothing of others is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import container_backend
from container_backend import labels_and_tags
from container_backend.container import create_container
from container_backend.runs import launch
from tests.support.client import client_of
from tests.support.commands import run_command, run_process
from tests.support.on_engine import BASE, containers_of
from tests.support.projects import with_steps
from tests.support.runs import UNTIL_TOLD, kept_log, let_end, only_run, runs, status_of
from tests.support.waiting import wait_until

WAITS = f"import os, time\n{UNTIL_TOLD}"


def _by_command(*command: str) -> None:
    done = run_process(*command)
    assert done.returncode == 0, done.stderr


GOES_ON = {
    "python": lambda folder, run_id: container_backend.run(folder, run_id=run_id),
    "mlflow": lambda folder, run_id: mlflow.projects.run(folder, backend="docker", run_id=run_id),
    "command": lambda folder, run_id: _by_command("container-backend", "run", folder, "--run-id", run_id),
    "mlflow's command": lambda folder, run_id: _by_command(
        "mlflow", "run", folder, "-b", "docker", "--run-id", run_id
    ),
}  # fmt: skip


def made(status: str = "FAILED", **tags: str) -> str:
    """The id of a run in an experiment of its own."""
    client = MlflowClient()
    experiment = client.create_experiment(f"of the run {uuid.uuid4().hex}")
    run_id = client.create_run(experiment, tags=tags).info.run_id
    client.update_run(run_id, status)
    return run_id


def ends() -> list[tuple[object, ...]]:
    """What a run has at its end: supervisors may write the rest of a run at any time."""
    of_end = (labels_and_tags.TAG_REASON, labels_and_tags.TAG_SUBMISSION)
    return [(run.info.run_id, run.info.status, *map(run.data.tags.get, of_end)) for run in runs()]


def refused(folder: str, run_id: str, *options: str) -> str:
    """What is said of a run that must not go on; the command has changed nothing."""
    before = ends()
    done = run_command("container-backend", "run", folder, "--run-id", run_id, *options)
    assert done.returncode == 2
    assert ends() == before
    return done.stderr


@pytest.mark.parametrize("way", GOES_ON)
def test_a_run_that_exists_goes_on(script, way):
    """https://mlflow.org/docs/latest/api_reference/cli.html#mlflow-run, --run-id."""
    run_id = made(**{labels_and_tags.TAG_REASON: "of an attempt before"})
    mlflow.tracking.MlflowClient().log_param(run_id, "before", 1)
    GOES_ON[way](
        script("import os; assert os.environ['MLFLOW_RUN_ID'] == '" + run_id + "'"), run_id
    )
    run = only_run()
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    assert run.data.params == {"before": "1"}
    assert run.data.tags[labels_and_tags.TAG_REASON] == ""
    assert run.data.tags[labels_and_tags.TAG_EXIT_CODE] == "0"
    assert run.data.tags[labels_and_tags.TAG_IMAGE]


def test_the_run_of_the_caller_goes_on_and_stays_the_callers(script):
    with mlflow.start_run() as active:
        container_backend.run(script("print('inside')"), run_id=active.info.run_id, run_name="new")
        mlflow.log_metric("after", 1)
    run = only_run()
    assert (run.info.status, run.info.run_name) == ("FINISHED", "new")
    assert run.data.metrics["after"] == 1
    assert kept_log(run.info.run_id) == "inside\n"


def test_a_run_of_this_package_goes_on_after_its_end(script):
    run_id = made("RUNNING")
    with pytest.raises(container_backend.RunFailed):
        container_backend.run(script("exit(3)"), run_id=run_id)
    assert only_run().data.tags[labels_and_tags.TAG_CAUSE] == "program"
    run = container_backend.run(script("print('later')"), run_id=run_id, synchronous=False)
    assert run.wait()
    tags = only_run().data.tags
    assert (tags[labels_and_tags.TAG_CAUSE], tags[labels_and_tags.TAG_EXIT_CODE]) == ("", "0")
    assert kept_log(run_id) == "later\n"


def test_without_an_id_that_is_empty_a_new_run_is_made(script):
    assert container_backend.run(script("pass"), run_id="").run_id == only_run().info.run_id


@pytest.mark.parametrize("run_id", ["0" * 32, "0" * 8, "../x"])
def test_a_run_that_does_not_exist_does_not_go_on(script, run_id):
    assert f"There is no run '{run_id}' to go on with" in refused(script("pass"), run_id)
    with pytest.raises(mlflow.exceptions.ExecutionException, match="There is no run"):
        mlflow.projects.run(script("pass"), backend="docker", run_id=run_id)
    assert f"There is no run '{run_id}'" in refused(script("pass"), run_id, "--dry-run")
    assert runs() == []


def test_a_deleted_run_does_not_go_on(script):
    run_id = made()
    mlflow.delete_run(run_id)
    assert f"mlflow runs restore --run-id {run_id}" in refused(script("pass"), run_id)
    mlflow.tracking.MlflowClient().restore_run(run_id)
    container_backend.run(script("pass"), run_id=run_id)
    assert status_of(run_id) == "FINISHED"


def test_a_run_does_not_go_on_in_another_experiment(script, monkeypatch):
    run_id = made()
    its = mlflow.get_run(run_id).info.experiment_id
    name = mlflow.get_experiment(its).name
    for option in (("--experiment-name", "not there"), ("--experiment-id", "0")):
        assert f"is in the experiment '{name}', not in" in refused(script("pass"), run_id, *option)
    assert mlflow.get_experiment_by_name("not there") is None
    other = mlflow.create_experiment("other")
    with pytest.raises(mlflow.exceptions.ExecutionException, match="not in 'other'"):
        mlflow.projects.run(script("pass"), backend="docker", run_id=run_id, experiment_id=other)
    # What the environment says holds where nothing is said.
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    _by_command("container-backend", "run", script("pass"), "--run-id", run_id)
    _by_command("mlflow", "run", script("pass"), "-b", "docker", "--run-id", run_id)
    assert mlflow.get_run(run_id).info.experiment_id == its


def test_a_run_that_is_under_way_is_left_alone(script, engine):
    run = container_backend.run(script(WAITS), synchronous=False)
    said = refused(script(WAITS), run.run_id)
    assert f"The run '{run.run_id}' was started already, and has not ended" in said
    # A program may end its run, and be there all the same.
    mlflow.tracking.MlflowClient().set_terminated(run.run_id)
    said = refused(script(WAITS), run.run_id)
    assert f"its container is 'mlflow-run-{run.run_id}'" in said
    let_end(engine, run.run_id)
    wait_until(lambda: not containers_of(engine, run.run_id))
    assert kept_log(run.run_id) == ""


def test_a_kept_container_is_left_alone(script, engine):
    kept = {"keep": "always"}
    run = container_backend.run(script("print('kept')"), backend_config=kept)
    wait_until(lambda: containers_of(engine, run.run_id)[0].name.endswith(".kept"))
    said = refused(script("pass"), run.run_id)
    assert f"docker rm mlflow-run-{run.run_id}.kept" in said
    (container,) = containers_of(engine, run.run_id)
    assert container.logs() == b"kept\n"
    container.remove()
    container_backend.run(script("pass"), run_id=run.run_id)


def test_a_container_that_has_the_name_is_left_alone(script, engine):
    """As that of another user, whose notes and labels are not seen before."""
    run_id = made("FINISHED")
    client = client_of(engine)
    other = client.containers.create(BASE, "true", name=f"mlflow-run-{run_id}")
    before = mlflow.get_run(run_id).to_dictionary()
    with pytest.raises(container_backend.InvalidConfig, match="has a container"):
        container_backend.run(script("pass"), run_id=run_id)
    assert mlflow.get_run(run_id).to_dictionary() == before
    other.reload()
    other.remove()


def test_of_processes_that_go_on_with_a_run_one_wins(script, engine):
    run_id = made("RUNNING")
    folder = script(f"print('begun', flush=True)\n{WAITS}")
    together = threading.Barrier(4)

    def go_on(_: int) -> object:
        together.wait()
        try:
            return container_backend.run(folder, run_id=run_id, synchronous=False)
        except container_backend.InvalidConfig as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(go_on, range(4)))
    (winner,) = [each for each in answers if not isinstance(each, str)]
    assert status_of(run_id) == "RUNNING"
    let_end(engine, run_id)
    assert winner.wait()
    assert kept_log(run_id) == "begun\n"
    assert containers_of(engine, run_id) == []


def test_a_run_that_another_engine_goes_on_with_meanwhile_is_left_alone(script, engine):
    run_id = made("FINISHED")

    def start_elsewhere(*arguments: Any) -> str:
        """As a process of another machine, whose engine and notes are not seen here."""
        mlflow.tracking.MlflowClient().set_tag(run_id, labels_and_tags.TAG_SUBMISSION, "f" * 32)
        mlflow.tracking.MlflowClient().update_run(run_id, "RUNNING")
        return create_container(*arguments)

    with pytest.MonkeyPatch.context() as patch:  # the moment; engine and store are the real ones
        patch.setattr(launch, "create_container", start_elsewhere)
        with pytest.raises(container_backend.InvalidConfig, match="another process goes on"):
            container_backend.run(script("pass"), run_id=run_id)
    run = only_run()
    assert (run.info.status, run.data.tags[labels_and_tags.TAG_SUBMISSION]) == ("RUNNING", "f" * 32)
    assert containers_of(engine, run_id) == []


@pytest.mark.parametrize(("before", "after"), [("FINISHED", "FINISHED"), ("RUNNING", "FAILED")])
def test_a_start_that_fails_ends_only_a_run_that_had_no_end(project, before, after):
    """The image cannot be had, and so there is no container."""
    run_id = made(before)
    folder = project(
        "docker_env: {image: 'container-backend-test/missing:none'}\n"
        "entry_points: {main: {command: 'true'}}\n"
    )
    with pytest.raises(container_backend.ContainerBackendError):
        container_backend.run(folder, run_id=run_id)
    assert status_of(run_id) == after


@pytest.mark.usefixtures("fresh")
def test_a_command_that_is_killed_leaves_a_run_as_it_was(script, own_state):
    run_id = made("FINISHED")
    before = ends()
    folder = with_steps(script("pass"), "final", f"RUN echo {uuid.uuid4()} && sleep 60")
    client = subprocess.Popen(
        [sys.executable, "-m", "container_backend", "run", folder, "--run-id", run_id],
        stderr=subprocess.PIPE,
        text=True,
    )
    while "Building environment image" not in client.stderr.readline():
        assert client.poll() is None
    assert "Another process goes on with the run" in refused(folder, run_id)
    client.send_signal(signal.SIGKILL)
    client.communicate()
    wait_until(lambda: not list(own_state.glob("**/run.json")))
    assert ends() == before
    Path(folder, "Dockerfile.j2").unlink()
    container_backend.run(folder, run_id=run_id)
    assert ends() != before


def test_what_has_ended_elsewhere_meanwhile_changes_no_run_that_goes_on(script, engine):
    """As of a machine that was away: its container has ended, and another process goes on with the run."""
    run = container_backend.run(script(f"import os, time\n{UNTIL_TOLD}"), synchronous=False)
    MlflowClient().set_tag(run.run_id, labels_and_tags.TAG_SUBMISSION, "f" * 32)
    let_end(engine, run.run_id)
    wait_until(lambda: containers_of(engine, run.run_id) == [])
    found = MlflowClient().get_run(run.run_id)
    assert found.info.status == "RUNNING"
    assert labels_and_tags.TAG_EXIT_CODE not in found.data.tags
