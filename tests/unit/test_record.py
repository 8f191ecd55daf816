"""A run in the tracking store."""

from __future__ import annotations

from pathlib import Path

from mlflow.tracking import MlflowClient

from container_backend.record import RunRecord
from tests.support.store import new_store


def test_artifacts_go_to_where_the_run_has_them(tmp_path):
    client = MlflowClient(new_store(tmp_path))
    experiment = client.create_experiment("e", artifact_location=f"{tmp_path}/a b")
    info = client.create_run(experiment).info
    file = tmp_path / "container.log"
    file.write_text("said")
    record = RunRecord(client, info.run_id, experiment, info.artifact_uri)
    record.artifacts().log_artifact(str(file), "logs")
    assert (Path(info.artifact_uri) / "logs" / "container.log").read_text() == "said"
