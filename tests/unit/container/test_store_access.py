"""How a container reaches the stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from container_backend.container.store_access import (
    Mount,
    absolute_uri,
    plan_access,
    without_nested,
)
from container_backend.engine import Engine, EngineHost
from container_backend.engine.facts import facts_of
from container_backend.errors import TrackingUnreachable


def engine(url: str, **info: str) -> Engine:
    """One that is asked nothing."""
    host = EngineHost(url)
    facts = facts_of(host, {"ApiVersion": "1.41"}, info)
    return Engine(host, facts, containers=None, images=None, connection=None)


HERE = engine("unix:///var/run/docker.sock")
ELSEWHERE = engine("tcp://build.test:2375")
DESKTOP = engine("unix:///var/run/docker.sock", OperatingSystem="Docker Desktop")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{cwd}/mlflow.db"),
        ("sqlite:///sub/a.db?timeout=3", "sqlite:///{cwd}/sub/a.db?timeout=3"),
        ("sqlite:////abs/a.db", "sqlite:////abs/a.db"),
        ("mlruns", "file://{cwd}/mlruns"),
        ("./mlruns", "file://{cwd}/mlruns"),
        ("file:mlruns", "file://{cwd}/mlruns"),
        ("file:///abs/mlruns", "file:///abs/mlruns"),
        ("http://x.test:5000", "http://x.test:5000"),
        ("databricks", "databricks"),
        ("postgresql://u:p@h/db", "postgresql://u:p@h/db"),
    ],
)
def test_addresses_mean_the_same_from_everywhere(tmp_path, monkeypatch, given, meant):
    monkeypatch.chdir(tmp_path)
    assert absolute_uri(given) == meant.format(cwd=tmp_path)


def test_a_database_is_shown_with_its_folder_and_the_artifacts_root():
    access = plan_access("sqlite:////data/db/mlflow.db", "/data/art/mlruns/3", HERE, {})
    assert access.mounts == (Mount(Path("/data/art/mlruns")), Mount(Path("/data/db")))
    assert access.uri == "sqlite:////data/db/mlflow.db"
    assert not access.host_network


def test_an_artifact_folder_of_its_own_is_shown_alone():
    access = plan_access("http://x.test", "file:///data/my%20artifacts", HERE, {})
    assert access.mounts == (Mount(Path("/data/my artifacts")),)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.9.1", "0.0.0.0", "[::1]"])
def test_a_server_on_loopback_takes_the_host_network(host):
    assert plan_access(f"http://{host}:5000", "mlflow-artifacts:/1", HERE, {}).host_network


def test_a_server_elsewhere_needs_nothing():
    access = plan_access("https://x.test:5000", "s3://bucket/1", HERE, {})
    assert (access.mounts, access.host_network) == ((), False)


def test_on_desktop_loopback_becomes_an_address_that_mlflow_accepts():
    access = plan_access("http://u:p@127.0.0.1:5000/x", None, DESKTOP, {})
    assert access.uri == "http://u:p@192.168.65.254:5000/x"
    assert not access.host_network


@pytest.mark.parametrize(
    ("uri", "artifacts"),
    [
        ("sqlite:////data/mlflow.db", "/data/mlruns/0"),
        ("http://x.test:5000", "file:///data/artifacts"),
        ("http://127.0.0.1:5000", "mlflow-artifacts:/0"),
    ],
)
def test_a_remote_engine_cannot_reach_what_is_on_this_machine(uri, artifacts):
    with pytest.raises(TrackingUnreachable, match=r"tcp://build\.test:2375"):
        plan_access(uri, artifacts, ELSEWHERE, {})


@pytest.mark.parametrize(
    "uri", ["sqlite:////mlflow.db", "sqlite:////usr/mlflow.db", "file:///mlflow/x", "sqlite://"]
)
def test_a_store_that_would_hide_the_image_is_refused(uri):
    with pytest.raises(TrackingUnreachable):
        plan_access(uri, None, HERE, {})


def test_credentials_are_passed_on_by_what_the_store_needs():
    environ = {
        "MLFLOW_TRACKING_TOKEN": "t",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "AWS_ACCESS_KEY_ID": "s3cret",
        "OTHER": "x",
    }
    access = plan_access("https://x.test", "s3://b/1", HERE, environ)
    assert access.environment == {
        "MLFLOW_TRACKING_TOKEN": "t",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "AWS_ACCESS_KEY_ID": "s3cret",
    }
    assert "AWS_ACCESS_KEY_ID" not in plan_access("https://x.test", None, HERE, environ).environment
    assert "s3cret" not in repr(access)


def test_a_credential_file_is_shown_read_only_at_its_own_path(tmp_path):
    file = tmp_path / "key.json"
    file.touch()
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}
    access = plan_access("https://x.test", "gs://bucket/1", HERE, environ)
    assert access.mounts == (Mount(file, read_only=True),)
    assert access.environment["GOOGLE_APPLICATION_CREDENTIALS"] == str(file)


@pytest.mark.parametrize(
    ("stores", "names"),
    [
        (("https://x.test", None), {"MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_CLIENT_CERT_PATH"}),
        (("postgresql://x.test/m", "s3://b/1"), {"MLFLOW_TRACKING_TOKEN", "AWS_ACCESS_KEY_ID"}),
        (("databricks", None), {"MLFLOW_TRACKING_TOKEN", "DATABRICKS_TOKEN"}),
    ],
)
def test_a_program_gets_the_logins_of_its_stores_and_no_others(stores, names, tmp_path):
    files = {"GOOGLE_APPLICATION_CREDENTIALS", "MLFLOW_TRACKING_CLIENT_CERT_PATH"}
    logins = {"MLFLOW_TRACKING_TOKEN", "AWS_ACCESS_KEY_ID", "DATABRICKS_TOKEN"}
    environ = dict.fromkeys(files | logins, str(tmp_path))
    assert set(plan_access(*stores, HERE, environ).environment) == names


def test_a_folder_within_a_writable_one_is_not_shown_twice():
    inner, outer = Path("/a/b"), Path("/a")
    assert without_nested([Mount(inner), Mount(outer)]) == (Mount(outer),)
    assert without_nested([Mount(inner), Mount(outer, read_only=True)]) == (
        Mount(outer, read_only=True),
        Mount(inner),
    )
