"""The example project, as the README tells people to run it."""

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from container_backend import labels_and_tags
from tests.support.commands import run_command
from tests.support.on_engine import environment_images
from tests.support.projects import EXAMPLE, ROOT


def runs_of(experiment: str) -> list[mlflow.entities.Run]:
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id], order_by=["attributes.start_time"])


@pytest.mark.slow
def test_training_logs_parameters_metrics_and_a_model(engine, example_image):
    images = environment_images(engine)
    done = run_command(
        *("container-backend", "run", str(EXAMPLE), "--env-manager", "docker"),
        *("-P", "n_jobs_param=2", "-P", "fit_intercept_param=False"),
        *("--experiment-name", "Salary Model"),
    )
    assert done.returncode == 0, done.stderr
    assert environment_images(engine) == images
    (found,) = runs_of("Salary Model")
    assert found.info.status == "FINISHED"
    assert found.data.tags[labels_and_tags.TAG_IMAGE] == example_image
    assert found.data.params["n_jobs_param"] == "2"
    assert found.data.params["fit_intercept_param"] == "False"
    # What autolog saw: False has reached the model as False.
    assert found.data.params["fit_intercept"] == "False"
    assert {"test_rmse", "test_mae", "test_r2", "training_r2_score"} <= set(found.data.metrics)
    (model,) = MlflowClient().search_logged_models([found.info.experiment_id])
    assert model.source_run_id == found.info.run_id
    assert list(mlflow.artifacts.list_artifacts(model.artifact_location))


@pytest.mark.slow
def test_the_pipeline_trains_evaluates_and_plots(example_image, workplace):
    done = run_command("python", str(EXAMPLE / "pipeline.py"))
    assert done.returncode == 0, done.stderr
    parent, train, evaluate = runs_of("Salary Model")
    assert {run.info.status for run in (parent, train, evaluate)} == {"FINISHED"}
    assert evaluate.data.params["run_id"] == train.info.run_id
    assert train.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert evaluate.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert evaluate.data.metrics["r2"] > 0.8
    assert done.stdout.rstrip().endswith(
        f"plot: runs:/{evaluate.info.run_id}/predicted_vs_actual.png"
    )
    plot = mlflow.artifacts.download_artifacts(
        f"runs:/{evaluate.info.run_id}/predicted_vs_actual.png", dst_path=str(workplace)
    )
    assert Path(plot).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_data_are_what_their_script_makes(tmp_path):
    shutil.copy(EXAMPLE / "generate_data.py", tmp_path)
    assert run_command("python", str(tmp_path / "generate_data.py")).returncode == 0
    name = "Salary_predict.csv"
    assert (tmp_path / name).read_bytes() == (ROOT / "example_project" / name).read_bytes()
