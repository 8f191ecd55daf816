"""MLproject files, commands and `docker_env` are read as MLflow reads them: its own functions are asked.

The inputs are of the kinds that MLflow's own tests of projects try.
"""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from mlflow.exceptions import ExecutionException, MlflowException
from mlflow.projects import _project_spec
from mlflow.projects.backend.local import _get_docker_command

from container_backend.container.added_args import asked_args
from container_backend.container.docker_args import parse_docker_args
from container_backend.environment import DockerEnvironment
from container_backend.environment.docker_env import read_docker_env
from container_backend.environment.kinds import ENVIRONMENT_KEYS
from container_backend.errors import InvalidInput
from container_backend.project.command import compute_command
from container_backend.project.mlproject import read_project
from tests.support.projects import TRUSTED_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

GREETER = """
name: My project
entry_points:
  greeter:
    parameters:
      greeting: {type: string, default: "hi"}
      name: string
    command: "python greeter.py {greeting} {name}"
  compute:
    parameters:
      name: string
      greeting: {type: string, default: "hi"}
      args: {type: action, default: --goodbye}
    command: "python greeter.py {greeting} {name} {args}"
  numbers:
    parameters:
      alpha: float
      l1_ratio: {type: float, default: 0.1}
      l2_ratio: {type: float, default: 0.0003}
      random_str: {type: string, default: hello}
    command: "train {alpha} {l1_ratio} {l2_ratio} {random_str} {{literal}}"
  types:
    parameters:
      flag: {type: bool, default: true}
      n: {type: int, default: 7}
      u: {type: uri, default: "s3://bucket/b1"}
      kept: {default: 0}
    command: "run {flag} {n} {u} {kept}"
  nothing:
    command: "echo it's $HOME && true | cat"
"""
COMMANDS = [
    ("greeter", {"name": "friend", "excitement": 10}),
    ("greeter", {"name": "friend", "greeting": "hello"}),
    ("greeter", {"name": "friend; echo 'hi'"}),
    ("greeter", {"name": ""}),
    ("greeter", {"name": 'é ü\n$(x) `y` \\ " {z}'}),
    ("compute", {"name": "friend", "excitement": 10}),
    ("compute", {"name": "friend", "args": "--a b"}),
    ("numbers", {"alpha": 0.004, "gamma": 0.89}),
    ("numbers", {"alpha": 0.004, "l1_ratio": 0.0008, "random_str_2": "hello"}),
    ("numbers", {"alpha": -0.99, "random_str": "hi"}),
    ("numbers", {"alpha": 0.77, "ALPHA": 0.89}),
    ("types", {}),
    ("types", {"flag": "0", "n": "007", "u": "file:///a/b", "kept": "x y"}),
    ("nothing", {}),
    ("script.py", {"x": "1 2"}),
    ("folder/my script.py", {}),
]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("SHELL", raising=False)  # with which MLflow runs scripts of shells
    (tmp_path / "MLproject").write_text(GREETER)
    (tmp_path / "folder").mkdir()
    for name in ("script.py", "script.sh", "script.R", "folder/my script.py"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(("name", "values"), COMMANDS)
def test_a_command_is_that_of_mlflow_to_the_letter(folder, name, values):
    theirs = _project_spec.load_project(str(folder)).get_entry_point(name)
    ours = read_project(folder, ENVIRONMENT_KEYS)
    made = compute_command(ours, ours.entry_point(name), values, folder / "storage")
    assert made.line == theirs.compute_command(values, str(folder / "storage"))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("greeter", {}),
        ("numbers", {"beta": 0.004}),
        ("types", {"u": "/a/path"}),
        ("my_program.scala", {}),
        ("../outside", {}),
    ],
)
def test_what_mlflow_refuses_of_a_command_is_refused(folder, name, values):
    with pytest.raises(ExecutionException):
        _project_spec.load_project(str(folder)).get_entry_point(name).compute_command(values, None)
    ours = read_project(folder, ENVIRONMENT_KEYS)
    with pytest.raises(InvalidInput):
        compute_command(ours, ours.entry_point(name), values, folder / "storage")


@pytest.mark.parametrize("file", ["MLproject", "mlproject", "MLPROJECT"])
def test_a_project_is_what_mlflow_says_that_it_is(tmp_path, file):
    (tmp_path / file).write_text(GREETER)
    theirs = _project_spec.load_project(str(tmp_path))
    ours = read_project(tmp_path, ENVIRONMENT_KEYS)
    assert ours.name == theirs.name
    assert set(ours.entry_points) == set(theirs._entry_points)
    for name, entry_point in ours.entry_points.items():
        other = theirs.get_entry_point(name)
        assert entry_point.command == other.command
        assert {p.name: p.type for p in entry_point.parameters.values()} == {
            p.name: p.type for p in other.parameters.values()
        }


VARIABLES = {"VAR1": "value1", "SPACE": "a b; c"}


@pytest.mark.parametrize(
    ("volumes", "environment"),
    [
        ([], ["VAR1"]),
        ([], ["VAR1", ["VAR2", "value2"]]),
        ([], [["VAR2", "value2"]]),
        ([], [["VAR2", "x=y z"], "SPACE"]),
        (["/path:/path"], ["VAR1"]),
        (["/path:/path", "/other:/in:ro"], [["VAR2", "value2"]]),
        ([], ["GONE"]),
        (["/path:/path"], ["VAR1", "GONE"]),
        (None, None),
    ],
)
def test_volumes_and_variables_of_docker_env_are_those_of_mlflow(
    tmp_path, monkeypatch, volumes, environment
):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GONE", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    info = SimpleNamespace(run_id="1", experiment_id="0", artifact_uri="/artifacts")
    run, image = SimpleNamespace(info=info), SimpleNamespace(tags=["image:1"])
    read = read_docker_env(
        "MLproject", {"image": "image:1", "volumes": volumes, "environment": environment}
    )
    assert isinstance(read, DockerEnvironment)
    try:
        before = _get_docker_command(image, run, None, None, None)
        words = _get_docker_command(image, run, None, volumes, environment)
    except MlflowException:
        with pytest.raises(InvalidInput, match="the project expects GONE"):
            asked_args(parse_docker_args({}), read, tmp_path, TRUSTED_FOLDER)
        return
    pairs = list(pairwise(words))
    theirs = {value for flag, value in pairs if flag == "-e"} - set(before)
    ours = asked_args(parse_docker_args({}), read, tmp_path, TRUSTED_FOLDER)
    assert {"=".join(pair) for pair in ours.environment.items()} == theirs
    assert ours.binds == [value for flag, value in pairs if flag == "-v" and value not in before]
