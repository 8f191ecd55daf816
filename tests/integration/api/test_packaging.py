"""What is built for distribution works as the checkout does."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from tests.support.projects import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RENDER = """
import sys
sys.path.insert(0, sys.argv[1])
import container_backend
assert container_backend.__file__.startswith(sys.argv[1]), container_backend.__file__
from container_backend.image.hash import BaseImage, plan_image
from container_backend.environment.spec import EnvironmentSpec
base = BaseImage("python:3.11-slim", "sha256:0", "python:3.11-slim")
print(plan_image(EnvironmentSpec("3.11", "test", ("mlflow",)), base, "linux/amd64").hash)
"""


def render(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", RENDER, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_templates_are_rendered_from_a_wheel_as_from_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    packaged = {path.name for path in (tmp_path / "container_backend" / "templates").iterdir()}
    assert packaged == {path.name for path in (ROOT / "templates").iterdir() if path.is_file()}
    assert render(tmp_path) == render(ROOT)


RUNNER = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from container_backend.share.runner_files import runner_files
files = sorted(runner_files().items())
print([(path, hashlib.sha256(content).hexdigest()) for path, content in files])
"""


def test_the_runner_of_images_is_in_a_wheel_as_in_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    wheels, checkouts = (
        subprocess.run(
            [sys.executable, "-I", "-c", RUNNER, str(folder)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for folder in (tmp_path, ROOT)
    )
    assert "runner/process.py" in wheels
    assert wheels == checkouts


def test_templates_are_importable_as_installed():
    from importlib import resources

    folder = resources.files("container_backend.templates")
    assert (folder / "Dockerfile.python.j2").read_text() == (
        ROOT / "templates" / "Dockerfile.python.j2"
    ).read_text()


def test_mlflow_finds_the_backend():
    (found,) = entry_points(group="mlflow.project_backend", name="docker")
    assert found.value == "container_backend.api.backend:DockerBackend"
