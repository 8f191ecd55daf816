"""What exactly is installed: recorded in the image, and installed again as recorded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

import container_backend
from tests.integration.conftest import run_uv

SHOW = "entry_points: {main: {command: 'cat /mlflow/environment/requirements.lock'}}\n"


def lock_of(folder: str, capfd) -> str:
    capfd.readouterr()
    container_backend.run(folder)
    return capfd.readouterr().out


def test_the_lock_is_in_the_image_and_pip_takes_it(project, capfd, tmp_path):
    lock = lock_of(project(SHOW, requirements__txt="six\ntabulate<1\n"), capfd)
    assert re.findall(r"(?m)^(\w+)==", lock) == ["six", "tabulate"]
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", lock)) >= 4
    (tmp_path / "requirements.lock").write_text(lock)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps",
         "--dest", tmp_path / "files", "-r", tmp_path / "requirements.lock"],
        check=True,
    )  # fmt: skip
    assert len(list((tmp_path / "files").iterdir())) == 2


def test_the_lock_and_the_dockerfile_are_artifacts_of_the_run(project, capfd):
    folder = project(SHOW, requirements__txt="six\n")
    run = container_backend.run(folder)
    printed = capfd.readouterr().out
    uri = f"runs:/{run.run_id}/environment"
    assert mlflow.artifacts.load_text(f"{uri}/requirements.lock") == printed
    assert mlflow.artifacts.load_text(f"{uri}/Dockerfile").startswith("FROM python:3.11-slim")


def test_a_store_that_takes_no_artifacts_fails_no_run(project, workplace, capfd):
    experiment = mlflow.create_experiment("nowhere", artifact_location="s3://no-such-bucket/x")
    run = container_backend.run(
        project("entry_points: {main: {command: 'true'}}\n"), experiment_id=experiment
    )
    assert run.get_status() == "FINISHED"
    assert f"run (ID '{run.run_id}') is not among its artifacts" in capfd.readouterr().err


def test_a_lock_of_the_project_is_installed_as_it_is(project, capfd):
    """An older version than would be resolved, and nothing that is not in the lock."""
    newest = lock_of(project(SHOW, requirements__txt="tabulate\nsix\n"), capfd)
    folder = project(SHOW, requirements__txt="tabulate==0.8.10\nsix\n")
    lock = lock_of(folder, capfd)
    assert lock != newest
    Path(folder, "requirements.txt").write_text("tabulate\nsix\n")
    Path(folder, "requirements.lock").write_text(lock)
    assert lock_of(folder, capfd) == lock


def test_a_file_with_another_hash_than_the_locks_is_not_installed(project, capfd):
    folder = project(SHOW, requirements__txt="six\n")
    lock = lock_of(folder, capfd)
    Path(folder, "requirements.lock").write_text(re.sub(r"sha256:\w{4}", "sha256:0000", lock))
    with pytest.raises(container_backend.BuildError) as caught:
        container_backend.run(folder)
    assert "hashes of six are of none of the files of the index" in str(caught.value)


def test_only_the_files_that_a_lock_allows_are_installed(project, capfd):
    folder = project(SHOW, requirements__txt="six\n")
    lock = lock_of(folder, capfd)
    first = re.search(r"--hash=\S+", lock)[0]
    Path(folder, "requirements.lock").write_text(f"{lock.split()[0]} {first}\n")
    assert lock_of(folder, capfd) == f"{lock.split()[0]} \\\n    {first}\n"


def test_a_pylock_is_installed_as_it_is(project, capfd, tmp_path):
    folder = project(SHOW, requirements__txt="six\n")
    expected = lock_of(folder, capfd)
    run_uv(
        *("pip", "compile", "--quiet", "--format", "pylock.toml", "--python-version", "3.11"),
        *("--output-file", "pylock.toml", "requirements.txt"),
        cwd=Path(folder),
    )
    assert lock_of(folder, capfd) == expected
