"""A run that is handed over to MLflow's own local backend."""

from __future__ import annotations

import mlflow
import pytest

import container_backend
from tests.support.store import new_store


@pytest.mark.parametrize(("code", "said"), [("exit 3", "failed"), ("exit 0", None)])
def test_what_mlflow_raises_is_an_error_of_ours(tmp_path, monkeypatch, code, said):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    mlflow.set_tracking_uri(None)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "MLproject").write_text(f"entry_points: {{main: {{command: {code}}}}}")
    uri = str(tmp_path / "project")
    if said is None:
        assert container_backend.run(uri, env_manager="local").get_status() == "FINISHED"
        return
    with pytest.raises(container_backend.ContainerBackendError, match=said):
        container_backend.run(uri, env_manager="local")
