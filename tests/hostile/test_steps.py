"""What a program can reach by asking for steps: nothing that its own run does not reach."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from mlflow.tracking import MlflowClient

import container_backend
from tests.hostile.ways import archive
from tests.support.runs import kept_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import mlflow

REFUSED = 403
# Asks for the steps in the file `steps`, of the folder `step` or what is said instead. Prints what
# becomes of each, as a line of JSON. `mlflow.run`
_ASKS = textwrap.dedent("""
    import io, json, os, tarfile, urllib.error, urllib.request, uuid
    said = json.loads(os.environ["CONTAINER_BACKEND_STEPS"])
    token = os.environ.get("CONTAINER_BACKEND_STEPS_TOKEN", "")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add("step", "step")
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        if os.path.exists("with-link"):
            tar.addfile(link)

    def ask(method, path, body=None):
        request = urllib.request.Request(
            said.get("address", os.environ["MLFLOW_TRACKING_URI"]) + "/container-backend/steps/" + path,
            method=method, data=body,
            headers={"Authorization": "Bearer " + (token or os.environ["MLFLOW_TRACKING_TOKEN"])},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return {"has_ended": True, "code": error.code, "said": error.read().decode()}

    here = said["project"]
    for more in json.load(open("steps")):
        asked = {"uri": "step", "directory": here + "/step", "root": here, "entry_point": "main",
                 "version": None, "folder": here, "parameters": {}, "experiment_id": "",
                 "is_beside": True, "environment": {}, **more}
        name = uuid.uuid4().hex
        news = ask("PUT", name + "/project", packed.getvalue())
        news = news if news else ask("PUT", name, json.dumps(asked).encode())
        while not news.get("has_ended"):
            news = ask("GET", name)
        print(json.dumps(news), flush=True)
""")
_STEP = (
    "name: step\nentry_points: {main: {parameters: {what: {default: ''}}, command: 'cat {what}'}}\n"
)


@pytest.fixture
def asking(tmp_path):
    """Makes a project that asks for steps, and returns its folder."""

    def write(steps: Sequence[dict[str, Any]], mlproject: str = _STEP, starts: str = _ASKS) -> Path:
        folder = tmp_path / "asking"
        (folder / "step").mkdir(parents=True)
        (folder / "MLproject").write_text(
            "name: x\nentry_points: {main: {command: python main.py}}\n"
        )
        (folder / "main.py").write_text(starts)
        (folder / "steps").write_text(json.dumps(steps))
        (folder / "step" / "MLproject").write_text(mlproject)
        return folder

    return write


def answers(run_id: str) -> list[dict[str, Any]]:
    lines = kept_log(run_id).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def steps_of(driver: str) -> list[mlflow.entities.Run]:
    found = MlflowClient().search_runs(["0"], f"tags.`mlflow.parentRunId` = '{driver}'")
    return list(found)


def test_a_step_is_no_way_to_a_folder_of_this_machine(asking, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "MLproject").write_text(_STEP)
    up = "/.." * 6
    folder = asking(
        [
            {"uri": str(secret), "directory": None},
            {"uri": f"file://{secret}", "directory": None},
            {"uri": "docker://python:3.11-slim", "directory": None},
            {"directory": f"/mlflow/projects/code{up}{secret}"},
            {"directory": str(secret), "root": "/"},
            {"directory": "/mlflow/projects/code/step", "root": "/elsewhere"},
        ]
    )
    driver = container_backend.run(str(folder))
    *others, empty, wrong = answers(driver.run_id)
    assert [each["reason"].partition(" ")[0] for each in others] == ["There"] * 3 + ["The"]
    # The folder of that name among what was sent has nothing in it.
    assert "there is no entry point 'main'" in empty["reason"]
    assert "cannot be read" in wrong["reason"]
    assert steps_of(driver.run_id) == []


def test_a_step_takes_no_package_and_no_list_of_packages_of_this_machine(asking, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "setup.py").write_text("six\n")
    folder = asking([{}])
    for line in (f"-e {secret}", f"-r {secret}/setup.py", "-e ../../../../../.."):
        (folder / "step" / "requirements.txt").write_text(f"{line}\n")
        (said,) = answers(container_backend.run(str(folder)).run_id)
        assert "outside of the project" in said["reason"]


def test_a_link_of_a_step_leads_to_no_file_of_this_machine(asking):
    folder = asking([{"directory": "/mlflow/projects/code/link"}])
    (folder / "with-link").touch()
    (said,) = answers(container_backend.run(str(folder)).run_id)
    assert "would be outside the folder" in said["reason"]


def test_a_step_gets_no_folder_of_this_machine_by_its_project(asking, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "of mine alone")
    mlproject = (
        "name: x\ndocker_env: {image: python:3.11-slim, volumes: ['/etc:/x'], environment: [MY_SECRET]}\n"
        "entry_points: {main: {command: env}}\n"
    )
    (said,) = answers(container_backend.run(str(asking([{}], mlproject))).run_id)
    assert "no folder of this machine" in said["reason"]
    assert not said["run_id"]


def test_a_step_sees_the_folder_that_the_user_has_given_to_its_driver_and_no_other(
    asking, workplace
):
    """A relative folder is one of the user's current folder, also for the processes of the steps."""
    (workplace / "data").mkdir()
    (workplace / "data" / "file").write_text("of the user")
    folder = asking([{"parameters": {"what": "/data/file"}}])
    driver = container_backend.run(str(folder), docker_args={"volume": "./data:/data:ro"})
    (step,) = steps_of(driver.run_id)
    assert "of the user" in kept_log(step.info.run_id)


def test_a_step_gets_no_variable_of_this_machine_by_its_project(asking, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "of mine alone")
    mlproject = (
        "name: x\ndocker_env: {image: python:3.11-slim, environment: [MY_SECRET]}\n"
        "entry_points: {main: {command: env}}\n"
    )
    (said,) = answers(container_backend.run(str(asking([{}], mlproject))).run_id)
    assert "wants the values of MY_SECRET" in said["reason"]
    assert not said["run_id"]


def test_a_step_of_a_fetched_project_is_handed_nothing_that_its_driver_does_not_see(asking):
    other = MlflowClient().create_run("0", tags={"secret": "of mine alone"}).info.run_id
    program = textwrap.dedent(f"""
        import json, os, urllib.error, urllib.request
        request = urllib.request.Request(
            os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/get?run_id={other}",
            headers={{"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}},
        )
        try:
            print(urllib.request.urlopen(request).read())
        except urllib.error.HTTPError as error:
            print("the answer was", error.code)
    """)
    mlproject = "name: x\nentry_points: {main: {command: python ask.py}}\n"
    asked = [
        {"parameters": {"run": other}},
        {"parameters": {"run": f"runs:/{other}/x"}, "parent": other},
    ]
    folder = asking(asked, mlproject)
    (folder / "step" / "ask.py").write_text(program)
    with archive(folder) as uri:
        driver = container_backend.run(uri)
    steps = steps_of(driver.run_id)
    assert [run.info.status for run in steps] == ["FINISHED", "FINISHED"]
    for step in steps:
        assert "the answer was 404" in kept_log(step.info.run_id)
    assert [each["status"] for each in answers(driver.run_id)] == ["FINISHED", "FINISHED"]


def test_a_step_does_not_say_how_a_store_is_reached(asking, monkeypatch):
    seen = "name: x\nentry_points: {main: {command: printenv AWS_ENDPOINT_URL KEPT || true}}\n"
    variables = {"AWS_ENDPOINT_URL": "http://evil", "KEPT": "kept"}
    driver = container_backend.run(str(asking([{"environment": variables}], seen)))
    (step,) = steps_of(driver.run_id)
    log = kept_log(step.info.run_id)
    assert "kept" in log
    assert "http://evil" not in log


def test_a_program_that_was_not_seen_to_start_steps_starts_none(asking):
    folder = asking([{}], starts=_ASKS)
    (folder / "step" / "MLproject").rename(folder / "step" / "other")
    driver = container_backend.run(str(folder))
    (said,) = answers(driver.run_id)
    assert said["code"] == REFUSED
