"""What MLflow promises of its projects, by each of the four ways to start one in a container.

The promises are those that MLflow's own tests of projects hold it to, in our words.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

import container_backend
from container_backend import labels_and_tags
from tests.support.client import client_of
from tests.support.commands import run_command
from tests.support.on_engine import BASE, containers_of
from tests.support.runs import UNTIL_TOLD, let_end, only_run, runs, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OPTIONS: Final = {
    "entry_point": "-e", "version": "-v", "experiment_name": "--experiment-name",
    "experiment_id": "--experiment-id", "run_name": "--run-name", "run_id": "--run-id",
    "storage_dir": "--storage-dir", "env_manager": "--env-manager",
}  # fmt: skip
# As MLflow's client logs, for a program without MLflow in its image.
LOGS: Final = """
    import json, os, sys, time, urllib.request
    def post(what, **values):
        data = json.dumps({"run_id": os.environ["MLFLOW_RUN_ID"], **values}).encode()
        headers = {"Content-Type": "application/json",
                   "Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
        address = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/" + what
        urllib.request.urlopen(urllib.request.Request(address, data, headers)).read()
    if "MLFLOW_TRACKING_TOKEN" in os.environ:
        post("log-metric", key="some_key", value=3, timestamp=int(time.time() * 1000))
        post("set-tag", key="of", value="the program")
"""


class Refused(Exception):
    """What is said of a run that was not started, or failed."""


def _by_python(function: Callable[..., Any], uri: str, **options: object) -> None:
    try:
        function(uri, **options)
    except (MlflowException, container_backend.ContainerBackendError) as error:
        raise Refused(str(error)) from error


def _by_command(words: tuple[str, ...], uri: str, **options: object) -> None:
    arguments = [*words[1:], uri]
    for name, value in options.items():
        if name == "parameters":
            arguments += [word for pair in value.items() for word in ("-P", "=".join(pair))]
        elif name == "docker_args":
            arguments += [word for pair in value.items() for word in ("-A", "=".join(pair))]
        elif name == "backend_config":
            arguments += ["-c", value if isinstance(value, str) else json.dumps(value)]
        elif name == "build_image":
            arguments += ["--build-image"] if value else []
        else:
            arguments += [_OPTIONS[name], str(value)]
    done = run_command(words[0], *arguments)
    assert "Traceback" not in done.stderr
    if done.returncode != 0:
        raise Refused(done.stderr)


WAYS: Final[dict[str, Callable[..., None]]] = {
    "mlflow.projects.run": lambda uri, **options: _by_python(
        mlflow.projects.run, uri, backend="docker", **options
    ),
    "container_backend.run": lambda uri, **options: _by_python(
        container_backend.run, uri, **options
    ),
    "mlflow run": lambda uri, **options: _by_command(
        ("mlflow", "run", "-b", "docker"), uri, **options
    ),
    "container-backend run": lambda uri, **options: _by_command(
        ("container-backend", "run"), uri, **options
    ),
}
IN_PYTHON: Final = {
    "mlflow.projects.run": lambda uri, **options: mlflow.projects.run(
        uri, backend="docker", **options
    ),
    "container_backend.run": container_backend.run,
}
every_way = pytest.mark.parametrize("way", WAYS)
every_way_in_python = pytest.mark.parametrize("way", IN_PYTHON)


def ran(way: str, uri: str, **options: object) -> mlflow.entities.Run:
    """The run that this way makes of a project; it has finished."""
    before = {run.info.run_id for run in runs()}
    WAYS[way](uri, **options)
    (run,) = [run for run in runs() if run.info.run_id not in before]
    assert run.info.status == "FINISHED"
    return run


def refused(way: str, uri: str, **options: object) -> str:
    """What is said; there is no run."""
    before = len(runs())
    with pytest.raises(Refused) as caught:
        WAYS[way](uri, **options)
    assert len(runs()) == before
    return str(caught.value)


def git(folder: str, *words: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@example.test")
    done = subprocess.run(
        ["git", *names, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def tags_of_mlflow(run: mlflow.entities.Run) -> Mapping[str, str]:
    """Those that MLflow's own backend sets, too, without what names the backend or describes the run."""
    others = {
        "mlflow.project.backend",
        "mlflow.project.env",
        "mlflow.runName",
        "mlflow.note.content",
    }
    return {
        name: value
        for name, value in run.data.tags.items()
        if name.startswith("mlflow.") and not name.startswith("mlflow.docker.image.")
        if name not in others
    }


@pytest.mark.parametrize("version", [None, "release", "commit"])
def test_a_run_has_what_a_run_of_mlflow_has(script, monkeypatch, version):
    """Parameters, metrics, tags and status are compared with those of MLflow's own local backend."""
    monkeypatch.setenv(labels_and_tags.ENV_SYSTEM_METRICS, "false")
    folder = script(LOGS, "{use_start_run: int, kept: {default: x}}", "python3 main.py {kept}")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    git(folder, "branch", "release")
    asked = {"parameters": {"use_start_run": "01", "more": "2"}, "run_name": "its name"}
    if version is not None:
        asked["version"] = git(folder, "rev-parse", "HEAD") if version == "commit" else version
    ours = {way: ran(way, folder, **asked) for way in WAYS}
    mlflow.projects.run(folder, env_manager="local", **asked)
    (theirs,) = [
        run for run in runs() if run.info.run_id not in {r.info.run_id for r in ours.values()}
    ]
    assert theirs.data.params == {"use_start_run": "01", "kept": "x", "more": "2"}
    for run in ours.values():
        assert run.info.status == theirs.info.status == "FINISHED"
        assert run.info.run_name == "its name"
        assert run.info.experiment_id == theirs.info.experiment_id
        assert run.data.params == theirs.data.params
        assert run.data.metrics == {"some_key": 3}
        assert run.data.tags["of"] == "the program"
        assert tags_of_mlflow(run) == tags_of_mlflow(theirs)
        assert run.data.tags["mlflow.project.backend"] == "docker"
        assert run.data.tags["mlflow.project.env"] == "docker"


@every_way
def test_the_experiment_is_the_one_that_is_named(script, monkeypatch, way):
    folder = script("pass")
    client = MlflowClient()
    made = ran(way, folder, experiment_name="new").info.experiment_id
    assert made == client.get_experiment_by_name("new").experiment_id
    assert ran(way, folder, experiment_name="new").info.experiment_id == made
    assert ran(way, folder, experiment_id=made).info.experiment_id == made
    assert ran(way, folder).info.experiment_id == "0"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "new")
    assert ran(way, folder).info.experiment_id == made
    assert ran(way, folder, experiment_name="Default").info.experiment_id == "0"
    said = refused(way, folder, experiment_name="new", experiment_id=made)
    assert "nly one of" in said or "not both" in said or "Give one of them" in said


@every_way_in_python
def test_a_run_that_is_not_waited_for_goes_on_and_ends(script, engine, way):
    folder = script(
        f"import os, sys, time\nif sys.argv[1] == '-1': sys.exit('no')\n{UNTIL_TOLD}",
        "{duration: int}",
        "python main.py {duration}",
    )
    run = IN_PYTHON[way](folder, parameters={"duration": 2}, synchronous=False)
    assert run.get_status() == "RUNNING"
    let_end(engine, run.run_id)
    assert run.wait() is True
    assert run.get_status() == "FINISHED"
    wrong = {"duration": -1, "invalid-param": 30}
    run = IN_PYTHON[way](folder, parameters=wrong, synchronous=False)
    assert run.wait() is False
    assert run.get_status() == "FAILED"
    assert status_of(run.run_id) == "FAILED"


@every_way_in_python
def test_a_run_that_is_cancelled_leaves_others_alone(script, engine, way):
    folder = script(f"import os, time\n{UNTIL_TOLD}")
    first, second = (IN_PYTHON[way](folder, synchronous=False) for _ in range(2))
    first.cancel()
    assert first.get_status() == status_of(first.run_id) == "KILLED"
    assert second.get_status() == "RUNNING"
    let_end(engine, second.run_id)
    assert second.wait()
    second.cancel()
    assert second.get_status() == status_of(second.run_id) == "FINISHED"


@every_way_in_python
def test_a_run_within_a_run_is_its_child(script, way):
    with mlflow.start_run() as parent:
        run = IN_PYTHON[way](script("pass"))
    assert mlflow.get_run(run.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert mlflow.active_run() is None
    assert run.wait()
    assert run.get_status() == "FINISHED"


@every_way
def test_an_artifact_is_there_as_a_file(project, way):
    with mlflow.start_run() as other:
        mlflow.log_text("Hello world", "model.pkl")
    folder = project(
        "entry_points: {main: {command: 'grep Hello {model}', parameters: {model: path}}}\n"
    )
    address = f"runs:/{other.info.run_id}/model.pkl"
    assert ran(way, folder, parameters={"model": address}).data.params == {"model": address}


@every_way
@pytest.mark.parametrize("version", ["badc0de", "no-such-branch"])
def test_a_version_that_is_not_in_the_repository_is_named(script, way, version):
    folder = script("pass")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    assert f"Unable to checkout version '{version}'" in refused(way, folder, version=version)


@every_way
def test_a_place_without_the_project_is_refused(script, tmp_path, way):
    folder = script("pass")
    assert "fake" in refused(way, f"{folder}#fake")
    assert "contains a '.'" in refused(way, f"{folder}#..")
    assert "is not a git repository" in refused(way, folder, version="main")
    assert "my_program.scala" in refused(way, folder, entry_point="my_program.scala")


@every_way
def test_a_script_is_an_entry_point_and_takes_parameters(project, way):
    folder = project(**{
        "my_script.py": "import sys; assert sys.argv[1:] == ['--name', 'a friend']",
        "my_script.sh": '[ "$*" = "--name a friend" ]',
    })  # fmt: skip
    for name in ("my_script.py", "my_script.sh"):
        run = ran(way, folder, entry_point=name, parameters={"name": "a friend"})
        assert run.data.tags["mlflow.project.entryPoint"] == name


@every_way
def test_the_backend_config_is_a_mapping_or_a_file(script, engine, tmp_path, way):
    folder = script("pass")
    config = {"keep": "always"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for given in (config, str(tmp_path / "config.json")):
        run = ran(way, folder, backend_config=given)
        (kept,) = containers_of(engine, run.info.run_id)
        kept.remove()
    assert "'kept'" in refused(way, folder, backend_config={"kept": True})


@pytest.mark.parametrize("program", ["mlflow", "container-backend"])
@pytest.mark.parametrize(
    "words",
    [
        ["-P", "name"],
        ["-P", "name=1", "-P", "name=2"],
        ["--experiment-name", "a", "--experiment-id", "0"],
        ["-c", "{"],
        ["-c", "gone.json"],
        ["--env-manager", "pipenv"],
        ["-P", "undeclared=\0"],
    ],
    ids=" ".join,
)
def test_options_that_are_wrong_make_no_run(script, program, words):
    backend = ["-b", "docker"] if program == "mlflow" else []
    done = run_command(program, "run", script("pass"), *backend, *words)
    assert done.returncode != 0
    assert done.stderr
    assert runs() == []


@pytest.mark.parametrize("way", ["mlflow.projects.run", "mlflow run"])
@pytest.mark.parametrize("name", ["conda", "virtualenv", "uv", "local"])
def test_every_environment_manager_means_the_image_of_the_project(project, monkeypatch, way, name):
    """As for a project of any kind: here `python_env`, which MLflow refuses to run with conda."""
    monkeypatch.setenv("MLFLOW_DISABLE_ENV_MANAGER_CONDA_WARNING", "TRUE")
    folder = project(
        "python_env: python_env.yaml\nentry_points: {main: {command: 'test -d /mlflow/projects'}}\n",
        python_env__yaml="python: '3.11'\n",
    )
    run = ran(way, folder, env_manager=name)
    assert run.data.tags[labels_and_tags.TAG_ENVIRONMENT_HASH]


@every_way
def test_a_project_with_an_image_needs_no_name_and_has_the_tags_of_mlflow(
    project, engine, monkeypatch, way
):
    monkeypatch.setenv("COPIED", "of mine")
    monkeypatch.setenv(labels_and_tags.ENV_SYSTEM_METRICS, "false")
    folder = project(
        f"docker_env:\n  image: {BASE}\n  volumes: ['$(pwd)/data:/data']\n"
        "  environment: [[NEW, 'a b; c'], COPIED]\n"
        'entry_points: {main: {command: \'cat /data/in && test "$NEW $COPIED" = "a b; c of mine" '
        "&& test -f answer && test $(cat /sys/fs/cgroup/memory/memory.limit_in_bytes "
        "/sys/fs/cgroup/memory.max 2>/dev/null) = 268435456'}}\n",
        answer="42",
    )
    (Path(folder) / "data").mkdir()
    (Path(folder) / "data" / "in").write_text("1")
    variables = {"env": "COPIED"} if "run" in way else {}
    run = ran(way, folder, docker_args={"memory": "256m", **variables})
    assert run.data.tags["mlflow.project.env"] == "docker"
    assert run.data.tags["mlflow.docker.image.uri"] == BASE
    assert run.data.tags["mlflow.docker.image.id"] == client_of(engine).images.get(BASE).id


@every_way
def test_the_folder_of_a_project_stays_as_it_is(script, way):
    folder = Path(script("import os; open('new', 'w'); assert not os.path.exists('mlruns')"))
    (folder / "mlruns").mkdir()
    (folder / "mlruns" / "some-file.txt").write_text("hi")
    before = sorted(folder.rglob("*"))
    ran(way, str(folder))
    assert sorted(folder.rglob("*")) == before


def test_the_run_of_an_asynchronous_driver_needs_no_driver(script, engine):
    """MLflow's own backend ends such a run with its process, or blocks its end."""
    folder = script(f"import os, time\n{UNTIL_TOLD}")
    program = (
        "import sys, mlflow\n"
        "mlflow.projects.run(sys.argv[1], backend='docker', synchronous=False)\n"
        "import os; os._exit(0)"
    )
    done = run_command("python", "-c", program, folder, env={**os.environ})
    assert done.returncode == 0, done.stderr
    run_id = only_run().info.run_id
    assert status_of(run_id) == "RUNNING"
    let_end(engine, run_id)
    assert container_backend.attach(run_id).wait()


@every_way
def test_a_value_is_one_word_for_the_program_and_logged_as_typed(script, way):
    value = "friend; echo 'hi' && $(touch x) é"
    folder = script(
        f"import sys; assert sys.argv[1:] == ['hi', {value!r}, '--excitement', '010']",
        "{greeting: {default: hi}, name: string}",
        "python main.py {greeting} {name}",
    )
    run = ran(way, folder, parameters={"name": value, "excitement": "010"})
    assert run.data.params == {"greeting": "hi", "name": value, "excitement": "010"}
    assert shlex.quote(value) != value
    assert "no value for the parameter 'name'" in refused(way, folder)
