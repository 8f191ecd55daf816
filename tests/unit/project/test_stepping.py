from __future__ import annotations

import pytest

from container_backend.environment.kinds import ENVIRONMENT_KEYS
from container_backend.project import may_start_steps, step_command
from container_backend.project.mlproject import read_project

STARTS = (
    "mlflow.run('.')",
    "_ = mlflow.projects.run(uri='.')",
    "from mlflow import run, log_metric",
    "from mlflow import projects",
    "import mlflow.projects as them",
    "import mlflow as ml",
    "subprocess.run(['mlflow', 'run', '.'])",
    "os.system('mlflow run .')",
    "getattr(mlflow, name)('.')",
)
STARTS_NOT = (
    "with mlflow.start_run() as run:",
    "mlflow.get_run(run.info.run_id)",
    "run = mlflow.active_run()",
    "from mlflow import log_metric  # of this run",
    "client = mlflow.tracking.MlflowClient(); client.get_run(run_id)",
)


@pytest.mark.parametrize("line", STARTS)
def test_a_program_that_may_start_steps(tmp_path, line):
    (tmp_path / "main.py").write_text(f"import os\n{line}\n")
    assert may_start_steps(read_project(tmp_path, ENVIRONMENT_KEYS))


@pytest.mark.parametrize("line", STARTS_NOT)
def test_a_program_that_starts_none(tmp_path, line):
    (tmp_path / "main.py").write_text(f"import os\n{line}\n")
    assert not may_start_steps(read_project(tmp_path, ENVIRONMENT_KEYS))


def test_a_project_in_a_folder_of_a_project_may_be_a_step(tmp_path):
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "MLproject").touch()
    assert may_start_steps(read_project(tmp_path, ENVIRONMENT_KEYS))


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a b/x", "cat '/here/a b/x'"),
        ("../x", "cat /x"),
        ("file:///there/x", "cat /there/x"),
        ("/there", "cat /there"),
    ],
)
def test_a_path_of_a_step_is_one_of_the_container(tmp_path, value, line):
    (tmp_path / "MLproject").write_text(
        "entry_points: {main: {parameters: {x: path}, command: 'cat {x}'}}"
    )
    project = read_project(tmp_path, ENVIRONMENT_KEYS)
    command = step_command(project, project.entry_point("main"), {"x": value}, "/here")
    assert (command.line, command.paths, command.parameters) == (line, (), {"x": value})
