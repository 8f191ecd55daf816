"""A pipeline as public ones are: hydra, steps in folders and in another repository, another Python."""

from __future__ import annotations

import shutil
import subprocess

import mlflow
import pytest

import container_backend
from container_backend import labels_and_tags
from tests.hostile_git import git
from tests.support.projects import ROOT, TRUSTED
from tests.support.runs import kept_log, logged_metrics, runs
from tests.support.servers import git_over_https

PROJECT = ROOT / "tests" / "projects" / "components"


def committed(folder) -> str:
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--message", "all")
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.mark.slow  # five environments are built
def test_a_pipeline_of_eight_steps_with_five_environments(tmp_path, engine, monkeypatch, fresh):
    subprocess.run([ROOT / "scripts/base-image", "3.13"], check=True, capture_output=True)
    pipeline, served = tmp_path / "pipeline", tmp_path / "served" / "components"
    shutil.copytree(PROJECT, pipeline, ignore=shutil.ignore_patterns("components"))
    shutil.copytree(PROJECT / "components", served / "components")
    commit, component = committed(pipeline), committed(served)
    with git_over_https(tmp_path / "served", tmp_path) as (address, certificate):
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        options = f"main.components={address}/components/.git main.version={component}"
        run = {
            "parameters": {"hydra_options": options},
            "backend_config": {**TRUSTED, "base_image": "python:{version}-slim"},
        }
        driver = container_backend.run(str(pipeline), **run)
        first = steps_of(driver.run_id)
        again = container_backend.run(str(pipeline), **run)
    names = {each.data.tags["mlflow.source.name"].rpartition("/")[2]: each for each in first}
    assert {each.info.status for each in first} == {"FINISHED"}
    assert list(names) == [
        "get_data", "basic_cleaning", "data_check", "features", "data_split", "train", "test_model",
        "report",
    ]  # fmt: skip
    assert len({each.data.tags["mlflow.docker.image.uri"] for each in first}) == 5
    for name, each in names.items():
        is_component = name in {"get_data", "test_model"}
        wanted = component if is_component else commit
        assert each.data.tags["mlflow.source.git.commit"] == wanted
    assert logged_metrics(names["basic_cleaning"]) == {"rows": 4.0}
    assert logged_metrics(names["train"]) == {"mean": 1.0}
    assert "the model is as it was trained" in kept_log(names["test_model"].info.run_id)
    host = mlflow.get_run(driver.run_id).data.tags[labels_and_tags.TAG_CONTAINER_ID][:12]
    assert f"reported in {host}" in kept_log(driver.run_id)
    # The step that the driver looks for by its commit was not run again.
    assert "cached check" in kept_log(again.run_id)
    assert len(steps_of(again.run_id)) == len(first) - 1


def steps_of(driver: str) -> list[mlflow.entities.Run]:
    found = [run for run in runs() if run.data.tags.get("mlflow.parentRunId") == driver]
    return sorted(found, key=lambda run: run.info.start_time)
