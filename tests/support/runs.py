"""Runs, as the tracking store of a test and the API show them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.support.on_engine import containers_of

if TYPE_CHECKING:
    from container_backend.engine import Engine
    from container_backend.runs.handle import ContainerRun

# Values of a parameter "detach".
WAITED_OR_DETACHED = [
    pytest.param(False, id="waited for"),
    pytest.param(True, id="detached", marks=pytest.mark.slow),
]
# For programs that must not end before their test is ready for it, however slow the machine is.
UNTIL_TOLD = "while not os.path.exists('/tmp/end'): time.sleep(0.05)"


def only_run() -> mlflow.entities.Run:
    """The one run that there is, in whatever experiment."""
    found = runs()
    assert len(found) == 1
    return found[0]


def runs() -> list[mlflow.entities.Run]:
    client = MlflowClient()
    return client.search_runs([found.experiment_id for found in client.search_experiments()])


def status_of(run_id: str) -> str:
    """As the store has it."""
    return mlflow.get_run(run_id).info.status


def kept_log(run_id: str) -> str:
    """What is among the artifacts of the output of a run."""
    file = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="logs/container.log")
    return Path(file).read_bytes().decode()


def output_of(run: ContainerRun) -> str:
    """What its program has written so far."""
    return b"".join(run.logs()).decode()


def logged_metrics(run: mlflow.entities.Run) -> dict[str, float]:
    """Those that the program logged."""
    return {
        name: value for name, value in run.data.metrics.items() if not name.startswith("system/")
    }


def let_end(engine: Engine, run_id: str) -> None:
    """Tell a program to end that waits with ``UNTIL_TOLD``."""
    (container,) = containers_of(engine, run_id)
    assert container.exec_run(["touch", "/tmp/end"]).exit_code == 0
