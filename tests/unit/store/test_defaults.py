"""What MLflow takes if nothing is said, with and without MLflow in the process."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking.fluent import _get_experiment_id
from mlflow.utils.validation import _validate_param_name

from container_backend.errors import InvalidConfig, InvalidProject
from container_backend.store import (
    Experiment,
    MlflowStore,
    check_parameters,
    default_address,
    mlflow_version,
)
from container_backend.store.client import active_run_id, default_experiment, user_name
from container_backend.store.experiment import find_experiment
from tests.support.store import new_store

if TYPE_CHECKING:
    from pathlib import Path

ASKED = """
import sys
{before}
from container_backend.store.client.defaults import *
print(default_address(), default_experiment(), user_name())
print("mlflow" in sys.modules)
"""


def said(folder: Path, before: str = "", **environment: str) -> list[str]:
    """Lines that a process prints, which has no address unless one is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", ASKED.format(before=before)],
        cwd=folder, env=kept | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def without_a_store(folder: Path) -> None:
    (folder / "mlruns" / "models").mkdir(parents=True)
    (folder / "mlruns" / "name").mkdir()
    (folder / "mlruns" / "name" / "meta.yaml").touch()
    (folder / "mlruns" / "1").mkdir()


def with_a_store(folder: Path) -> None:
    (folder / "mlruns" / "12").mkdir(parents=True)
    (folder / "mlruns" / "12" / "meta.yaml").touch()


@pytest.mark.parametrize(
    ("make", "environment"),
    [
        (lambda _: None, {}),
        (without_a_store, {}),
        (with_a_store, {}),
        (lambda _: None, {"MLFLOW_TRACKING_URI": ""}),
        (lambda _: None, {"MLFLOW_TRACKING_URI": "sqlite:///a.db"}),
        (lambda _: None, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}),
        (lambda _: None, {"MLFLOW_TRACKING_URI": "mlruns"}),
    ],
    ids=["nothing", "no store", "a store", "empty", "a database", "a server", "a folder"],
)
def test_the_address_is_that_of_mlflow_without_its_import(tmp_path, make, environment):
    make(tmp_path)
    without = said(tmp_path, **environment)
    assert without[:-1] == said(tmp_path, "import mlflow", **environment)[:-1]
    assert without[-1] == "False"


def test_what_only_mlflow_knows_is_asked_of_mlflow(tmp_path):
    """It writes some characters of the folder in another way, depending on its version."""
    (tmp_path / "a folder").mkdir()
    without = said(tmp_path / "a folder")
    assert without[0] == said(tmp_path / "a folder", "import mlflow")[0]
    assert without[-1] == "True"


def test_what_a_program_has_set_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    uri = new_store(tmp_path)
    mlflow.set_tracking_uri(uri)
    try:
        assert default_address() == uri
        assert active_run_id() is None
        made = mlflow.set_experiment("mine").experiment_id
        assert default_experiment() == (made, None)
        with mlflow.start_run() as run:
            assert active_run_id() == run.info.run_id
    finally:
        mlflow.set_tracking_uri(None)
        monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "0"),
        ({"MLFLOW_EXPERIMENT_ID": "1"}, "1"),
        ({"MLFLOW_EXPERIMENT_NAME": "first"}, "1"),
        ({"MLFLOW_EXPERIMENT_ID": "1", "MLFLOW_EXPERIMENT_NAME": "first"}, "1"),
        ({"MLFLOW_EXPERIMENT_NAME": "new"}, "3"),
        ({"MLFLOW_EXPERIMENT_ID": "77"}, None),
        ({"MLFLOW_EXPERIMENT_ID": "2", "MLFLOW_EXPERIMENT_NAME": "first"}, None),
    ],
)
def test_the_experiment_is_that_of_mlflow(tmp_path, monkeypatch, environment, expected):
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    for name in ("first", "second"):
        mlflow.MlflowClient().create_experiment(name)
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    store = MlflowStore(mlflow.get_tracking_uri())
    if expected is None:
        with pytest.raises(InvalidConfig, match="id"):
            find_experiment(store, Experiment(), create=True)
        with pytest.raises(MlflowException):
            _get_experiment_id()
    else:
        assert find_experiment(store, Experiment(), create=True).experiment_id == expected
        assert _get_experiment_id() == expected


def test_a_user_without_a_name_is_a_number(monkeypatch):
    assert user_name() == getpass.getuser()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999)
    assert user_name() == "3999999"


def test_the_version_is_that_of_mlflow():
    assert mlflow_version() == mlflow.__version__


@pytest.mark.parametrize(
    "name",
    [
        "alpha", "learning rate/of.mine-1", "a:b", "a/b/c", "ü", "", ".", "..", "../a", "/a", "a/",
        "a//b", "a/./b", "a/../b", "what?", "a,b", "a=b", "a\\b", "a\nb", "a\n", "x" * 300,
    ],
)  # fmt: skip
def test_names_of_parameters_are_those_that_mlflow_takes(name):
    try:
        _validate_param_name(name)
    except MlflowException:
        with pytest.raises(InvalidProject, match="cannot be logged"):
            check_parameters({name: "1"})
    else:
        check_parameters({name: "1"})
