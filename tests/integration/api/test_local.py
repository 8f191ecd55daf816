"""A run that is handed over to MLflow's own local backend."""

from __future__ import annotations

import pytest

import container_backend


@pytest.mark.parametrize(("code", "said"), [("exit 3", "failed"), ("exit 0", None)])
def test_what_mlflow_raises_is_an_error_of_ours(project, code, said):
    uri = project(f"entry_points: {{main: {{command: {code}}}}}")
    if said is None:
        assert container_backend.run(uri, env_manager="local").get_status() == "FINISHED"
        return
    with pytest.raises(container_backend.ContainerBackendError, match=said):
        container_backend.run(uri, env_manager="local")
