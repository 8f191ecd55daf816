"""What the last words of a program mean; the words are MLflow's own."""

from __future__ import annotations

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from container_backend import labels_and_tags
from container_backend.container.described import RunContainer
from container_backend.engine import EngineHost
from container_backend.runs.ending.output_hints import explain
from tests.support.store import new_store

CONTAINER = RunContainer("id", "name", {labels_and_tags.LABEL_EXPERIMENT: "mine"}, {}, {}, "true")


def explained(text: str, container: RunContainer = CONTAINER) -> str | None:
    nowhere = EngineHost("unix:///never/asked.sock")
    return explain(text.encode(), nowhere, container)


@pytest.fixture
def clash(tmp_path, monkeypatch) -> str:
    """What MLflow says where a program calls ``mlflow.set_experiment`` in a run of another one."""
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    # MLflow sets it; afterwards it is what it was.
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    mlflow.set_tracking_uri(new_store(tmp_path))
    try:
        run = mlflow.MlflowClient().create_run(mlflow.create_experiment("mine"))
        monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")  # MLflow never unsets it
        mlflow.set_experiment("another")
        with pytest.raises(MlflowException) as caught:
            mlflow.start_run()
        return str(caught.value)
    finally:
        mlflow.set_tracking_uri(None)


def test_the_clash_of_set_experiment_with_the_run_is_explained(clash):
    said = explained(f"Traceback …\nmlflow.exceptions.MlflowException: {clash}\n")
    assert "the program calls mlflow.set_experiment, but its run is in 'mine' already" in said
    assert "--experiment-name" in said


@pytest.mark.parametrize(
    "text",
    [
        "Detected out-of-date database schema (found version a, but expected b).",
        "alembic.util.exc.CommandError: Can't locate revision identified by 'a'",
    ],
)
def test_a_database_of_another_version_is_explained(text):
    said = explained(text)
    assert said.startswith("the MLflow of the image cannot read the tracking database")
    assert f"mlflow=={mlflow.__version__}" in said


@pytest.mark.parametrize("text", ["", "ValueError: no", "experiment ID does not match"])
def test_other_words_have_to_do(text):
    assert explained(text) is None
