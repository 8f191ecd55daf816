"""A run in the tracking store."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mlflow.tracking import MlflowClient

from container_backend.project.git import find_repository
from container_backend.project.git.checkout import read_checkout
from container_backend.store import MlflowStore
from container_backend.store.run import RunRecord, _source_tags
from tests.support.store import new_store


def test_artifacts_go_to_where_the_run_has_them(tmp_path):
    client = MlflowClient(new_store(tmp_path))
    experiment = client.create_experiment("e", artifact_location=f"{tmp_path}/a b")
    store = MlflowStore(client.tracking_uri)
    run = store.create_run(experiment, {})
    file = tmp_path / "container.log"
    file.write_text("said")
    RunRecord(store, run).log_artifact(file, "logs")
    assert (Path(run.artifact_uri) / "logs" / "container.log").read_text() == "said"


def test_a_token_in_an_address_of_git_is_in_no_tag(tmp_path):
    token = "https://me:t0ken-of-mine@host.example/team/project.git"
    for words in (
        ["init", "-q"],
        ["remote", "add", "origin", token],
        ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    checkout = read_checkout(find_repository(tmp_path), tmp_path)
    for uri in (token, str(tmp_path)):
        tags = _source_tags(uri, checkout, None, "main")
        assert tags["mlflow.source.git.repoURL"] == "https://host.example/team/project.git"
        assert not [name for name, value in tags.items() if "t0ken" in value]
