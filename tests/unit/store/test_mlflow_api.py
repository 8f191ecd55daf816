"""The undocumented parts of MLflow are where this package looks for them, and do what it expects.

`scripts/test-matrix` runs this with the oldest MLflow that is supported.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from mlflow.entities import SourceType
from mlflow.utils import mlflow_tags

import container_backend
from container_backend import labels_and_tags
from container_backend.store import mlflow_version
from container_backend.store.client import mlflow_api

TAGS = {name: tag for name, tag in vars(labels_and_tags).items() if name.startswith("MLFLOW_")}


@pytest.mark.parametrize("name", TAGS)
def test_tags_are_called_as_mlflow_calls_them(name):
    assert TAGS[name] in vars(mlflow_tags).values()


def test_a_source_is_a_project():
    assert SourceType.to_string(SourceType.PROJECT) == "PROJECT"


def test_artifacts_of_a_server_are_asked_of_that_server(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    repository = mlflow_api.artifact_repository(
        "mlflow-artifacts:/0/abc/artifacts", "http://127.0.0.1:2"
    )
    asked = repository.artifact_uri.partition("/api")[0]
    is_old = mlflow_version().startswith("3.1.")
    assert asked == ("http://127.0.0.1:1" if is_old else "http://127.0.0.1:2")


def test_private_parts_of_mlflow_are_in_one_module():
    """What is not: the names of packages that MLflow documents."""
    documented = {
        "mlflow", "mlflow.artifacts", "mlflow.entities", "mlflow.exceptions", "mlflow.projects",
        "mlflow.projects.backend.abstract_backend", "mlflow.store.artifact.artifact_repo",
        "mlflow.tracking",
    }  # fmt: skip
    found = set()
    for file in Path(container_backend.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [(alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [(node.module or "", alias.name) for alias in node.names]
            found |= {
                file.name
                for module, name in names
                if module.partition(".")[0] == "mlflow"
                and (module not in documented or name.startswith("_"))
            }
    assert found == {"mlflow_api.py"}
