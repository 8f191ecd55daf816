"""What every Python program of a run loads: steps that it starts stay where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.projects import ROOT
from tests.support.store import new_store

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATES = ROOT / "templates"
DRIVER = """
import mlflow, sys
for project in sys.argv[1:]:
    step = mlflow.run(project, "step", parameters={"value": "a b"})
    print(mlflow.get_run(step.run_id).info.status)
"""


def python(folder: Path, *arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    store = new_store(folder)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "MLFLOW_TRACKING_URI": store},
    )


def test_a_step_of_the_default_backend_runs_in_this_environment(tmp_path):
    """Though its project declares one that cannot be made, and an image that is nowhere."""
    environments = {
        "packages": "python_env: python_env.yaml",
        "image": "docker_env: {image: no/where}",
    }
    for name, environment in environments.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "MLproject").write_text(
            f"{environment}\nentry_points:\n  step:\n    parameters: {{value: string}}\n"
            f'    command: \'"{sys.executable}" -c "import sys; print(sys.argv)" {{value}}\'\n'
        )
    (tmp_path / "packages" / "python_env.yaml").write_text("dependencies: [no-such-package]\n")
    done = python(tmp_path, "-c", DRIVER, *environments, path=str(TEMPLATES))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['-c', 'a b']\nFINISHED\n" * 2


def test_one_that_the_image_has_is_loaded_too(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('mine')")
    done = python(tmp_path, "-c", "print('end')", path=f"{TEMPLATES}:{tmp_path}")
    assert (done.stdout, done.stderr) == ("mine\nend\n", "")
