"""Steps with an environment of their own: runs beside the driver, in images of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import mlflow
import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.errors import RunFailed
from container_backend.runs import ledger_of
from tests.hostile_git import git
from tests.support.commands import run_command, run_process
from tests.support.forwarding import forward
from tests.support.on_engine import containers_of
from tests.support.projects import EXAMPLE, ROOT, TRUSTED
from tests.support.runs import kept_log, output_of, runs, status_of
from tests.support.servers import TrackingServer, git_over_https
from tests.support.waiting import wait_until

PIPELINE = ROOT / "tests" / "projects" / "pipeline"


@pytest.fixture
def pipeline(tmp_path, example_image) -> Path:
    """A driver in the environment of the example; three steps, two of them with a third one."""
    folder = Path(shutil.copytree(PIPELINE, tmp_path / "my pipeline"))
    for each in (".", "steps/deep", "steps/download"):
        shutil.copy(EXAMPLE / "requirements.txt", folder / each)
    return folder


def steps_of(driver: str) -> list[mlflow.entities.Run]:
    return [run for run in runs() if run.data.tags.get("mlflow.parentRunId") == driver]


def volumes_of(engine, run_id: str) -> list[str]:
    return engine.volumes.find(f"{labels_and_tags.LABEL_RUN_ID}={run_id}")


def folders_of_steps(engine) -> list[str]:
    folder = ledger_of(engine.host).folder / "steps"
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def nothing_is_left(engine, run_id: str) -> bool:
    return not volumes_of(engine, run_id) and not folders_of_steps(engine)


def test_a_step_with_another_environment_runs_beside_its_driver(pipeline, engine, capfd):
    git(pipeline, "init", "--quiet")
    git(pipeline, "add", "--all")
    git(pipeline, "commit", "--quiet", "--message", "all")
    driver = container_backend.run(str(pipeline))
    tags = mlflow.get_run(driver.run_id).data.tags
    in_place, beside = sorted(
        steps_of(driver.run_id), key=lambda run: run.data.tags["mlflow.project.entryPoint"]
    )
    file = mlflow.artifacts.download_artifacts(run_id=driver.run_id, artifact_path="seen.json")
    seen = json.loads(Path(file).read_text())
    host = tags[labels_and_tags.TAG_CONTAINER_ID][:12]
    assert seen.pop("host") == beside.data.tags[labels_and_tags.TAG_CONTAINER_ID][:12] != host
    assert seen == {
        "text": "by the driver",
        "number": "007",
        "group": "of the driver",
        "folder": f"{labels_and_tags.CODE_DIRECTORY}/steps/look",
        "run_id": beside.info.run_id,
        "has_mlflow": False,
    }
    # In line, and so in the log of the driver as well.
    assert "the step has looked" in kept_log(driver.run_id)
    assert "the step has looked" in kept_log(beside.info.run_id)
    assert "the step has looked" in capfd.readouterr().out
    for step, below in ((in_place, ""), (beside, "/steps/look")):
        assert step.info.status == "FINISHED"
        assert step.data.tags["mlflow.project.env"] == "docker"
        name = "mlflow.source.git.commit"
        assert step.data.tags[name] == tags[name]
        assert step.data.tags["mlflow.source.name"] == tags["mlflow.source.name"] + (
            f"#{below[1:]}" if below else ""
        )
    name = "mlflow.docker.image.uri"
    assert in_place.data.tags[name] == tags[name] != beside.data.tags[name]
    wait_until(lambda: nothing_is_left(engine, driver.run_id))
    # What it had of its driver's folder is not recorded with it.
    again = run_command("container-backend", "rerun", beside.info.run_id)
    assert (again.returncode, "repeat the run that has started it" in again.stderr) == (2, True)


def test_steps_run_side_by_side(pipeline, engine):
    driver = container_backend.run(str(pipeline), parameters={"what": "side_by_side"})
    assert [run.info.status for run in steps_of(driver.run_id)] == ["FINISHED", "FINISHED"]


def test_the_step_that_failed_is_named_by_its_driver(pipeline):
    with pytest.raises(RunFailed) as caught:
        container_backend.run(str(pipeline), parameters={"what": "fail"})
    said = "step 'fail' failed: No module named 'nothing_of_this_name', which "
    assert said in str(caught.value)
    (step,) = steps_of(caught.value.run_id)
    assert step.info.status == "FAILED"
    assert step.data.tags[labels_and_tags.TAG_EXIT_CODE] == "1"


def test_steps_end_with_a_driver_that_is_cancelled(pipeline, engine):
    """Also if a shell has started the command in the background, which ignores interrupts then."""
    done = run_process(
        *("container-backend", "run", "--detach", str(pipeline), "-P", "what=go_on"),
        check=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    driver = container_backend.attach(done.stdout.strip())
    wait_until(lambda: "the step goes on" in output_of(driver))
    (step,) = steps_of(driver.run_id)
    driver.cancel()
    assert status_of(driver.run_id) == "KILLED"
    wait_until(lambda: status_of(step.info.run_id) == "KILLED")
    wait_until(lambda: containers_of(engine, step.info.run_id) == [])
    wait_until(lambda: nothing_is_left(engine, driver.run_id))


def test_a_step_whose_process_is_killed_is_finished_all_the_same(pipeline, engine):
    driver = container_backend.run(str(pipeline), parameters={"what": "leave"}, synchronous=False)
    wait_until(lambda: steps_of(driver.run_id))
    (step,) = steps_of(driver.run_id)
    wait_until(
        lambda: [each.status for each in containers_of(engine, step.info.run_id)] == ["running"]
    )
    (of_driver,) = containers_of(engine, driver.run_id)
    for pid in pids_with(of_driver.labels[labels_and_tags.LABEL_SUBMISSION]):
        os.kill(pid, signal.SIGKILL)
    (container,) = containers_of(engine, step.info.run_id)
    assert container.exec_run(["touch", "end"]).exit_code == 0
    assert driver.wait()
    assert status_of(step.info.run_id) == "FINISHED"
    wait_until(lambda: nothing_is_left(engine, driver.run_id))


def test_steps_of_an_attempt_end_before_the_next_one_begins(pipeline, engine):
    driver = container_backend.run(
        str(pipeline),
        parameters={"what": "again"},
        backend_config={"retries": 1, "retry_program": True},
    )
    first, second = steps_of(driver.run_id)
    assert {first.info.status, second.info.status} == {"FINISHED", "KILLED"}
    wait_until(lambda: nothing_is_left(engine, driver.run_id))


def pids_with(word: str) -> list[int]:
    """The Python processes that have a word among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        if "python" in arguments[0] and any(word in each for each in arguments):
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow  # an environment with MLflow is built
def test_a_step_starts_steps_in_the_same_folder(pipeline, engine):
    driver = container_backend.run(str(pipeline), parameters={"what": "deep"})
    (deep,) = steps_of(driver.run_id)
    (look,) = steps_of(deep.info.run_id)
    assert (deep.info.status, look.info.status) == ("FINISHED", "FINISHED")
    assert look.data.params["file"].endswith("/steps/deep/handed.txt")
    wait_until(lambda: nothing_is_left(engine, driver.run_id))


@pytest.mark.slow  # the same environment
def test_a_step_downloads_what_a_path_parameter_names_by_an_address(pipeline):
    driver = container_backend.run(str(pipeline), parameters={"what": "download"})
    (step,) = [run for run in steps_of(driver.run_id) if "text" in run.data.params]
    assert "of the driver" in kept_log(step.info.run_id)
    assert step.data.params["text"].startswith("runs:/")


@pytest.mark.slow  # a server of git
def test_a_step_at_an_address_of_git(pipeline, tmp_path, monkeypatch):
    repository = tmp_path / "repositories" / "component"
    shutil.copytree(pipeline / "steps" / "look", repository / "components" / "look")
    shutil.copy(pipeline / "steps" / "packages.txt", repository / "components")
    git(repository, "init", "--quiet", "--initial-branch=main")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "all")
    commit = git(repository, "rev-parse", "HEAD").strip()
    with git_over_https(tmp_path / "repositories", tmp_path) as (address, certificate):
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        uri = f"{address}/component/.git#components/look"
        arguments = {"env": [f"STEP_ADDRESS={uri}", "STEP_VERSION=main"]}
        run = {"parameters": {"what": "elsewhere"}, "docker_args": arguments}
        with pytest.raises(RunFailed, match="is not a public address"):
            container_backend.run(str(pipeline), **run)
        driver = container_backend.run(str(pipeline), backend_config=TRUSTED, **run)
    (step,) = steps_of(driver.run_id)
    assert step.info.status == "FINISHED"
    assert step.data.tags["mlflow.source.git.commit"] == commit
    assert step.data.tags["mlflow.source.name"] == uri


@pytest.mark.slow  # MLflow's server
def test_a_driver_that_reaches_its_server_itself_starts_steps_by_the_proxy(
    pipeline, tmp_path, monkeypatch, engine
):
    (tmp_path / "served").mkdir()
    with TrackingServer(tmp_path / "served", f"sqlite:///{tmp_path}/served/mlflow.db") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        driver = container_backend.run(str(pipeline))
        assert len(steps_of(driver.run_id)) == 2


@pytest.mark.slow  # the connections take their way through the engine
def test_a_driver_without_a_network_on_an_engine_elsewhere_starts_steps(
    pipeline, engine, monkeypatch
):
    with forward(engine.host.url.removeprefix("unix://")) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        driver = container_backend.run(str(pipeline), docker_args={"network": "none"})
        assert [run.info.status for run in steps_of(driver.run_id)] == ["FINISHED"] * 2


def test_a_dry_run_and_a_build_name_the_steps(pipeline):
    done = run_command("container-backend", "run", str(pipeline), "--dry-run", "--json", check=True)
    said = json.loads(done.stdout)["steps"]
    assert list(said) == ["steps/deep", "steps/download", "steps/look"]
    assert said["steps/deep"]["image"] == said["steps/download"]["image"]
    shutil.rmtree(pipeline / "steps" / "deep")
    shutil.rmtree(pipeline / "steps" / "download")
    done = run_command("container-backend", "build", str(pipeline), "--steps", "--json", check=True)
    assert json.loads(done.stdout)["steps"] == {"steps/look": said["steps/look"]["image"]}
