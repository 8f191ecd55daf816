"""An engine that an ordinary user starts, and that user's runs."""

from __future__ import annotations

import pytest

from tests.support.commands import run_command
from tests.support.on_engine import BASE
from tests.support.projects import EXAMPLE
from tests.support.rootless import USER, RootlessEngine
from tests.support.store import files_left


@pytest.mark.slow
def test_the_example_leaves_the_same_files_on_a_rootless_engine(
    tmp_path, monkeypatch, example_image, engine
):
    """The store is MLflow's default; the network of that engine does not lead to it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    command = ("run", str(EXAMPLE), "-P", "n_jobs_param=2")
    done = run_command("container-backend", *command, cwd=here)
    assert done.returncode == 0, done.stderr
    with RootlessEngine() as rootless:
        for image in (BASE, example_image):
            rootless.take(image, engine)
        done = rootless.run_command(there, *command)
    assert done.returncode == 0, done.stderr
    assert files_left(there) == files_left(here)
    assert {"mlflow.db", "mlruns/0/RUN/artifacts/logs/container.log"} <= files_left(there)
    assert {path.owner() for path in there.rglob("*")} == {USER}
