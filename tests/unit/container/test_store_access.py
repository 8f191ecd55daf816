"""How a container reaches the stores."""

from __future__ import annotations

import pytest

from container_backend.container.store_access import (
    absolute_uri,
    around_http_proxies,
    direct_access,
    is_served,
    served_access,
)
from container_backend.engine import EngineFacts, EngineHost
from container_backend.engine.facts import facts_of
from container_backend.errors import InvalidConfig, InvalidProject, TrackingUnreachable
from container_backend.privileges import Giver, Permissions


def facts(url: str, **info: str) -> EngineFacts:
    return facts_of(EngineHost(url), {"ApiVersion": "1.41"}, info)


HERE = facts("unix:///var/run/docker.sock")
ELSEWHERE = facts("tcp://build.test:2375")
DESKTOP = facts("unix:///var/run/docker.sock", OperatingSystem="Docker Desktop")
OWN = Permissions(Giver.OWN)
FETCHED = Permissions(Giver.FETCHED)
REPEATED = Permissions(Giver.RECORD)
TRUSTED = Permissions(Giver.FETCHED, trusted=True)
LOOPBACK = ["127.0.0.1", "localhost", "127.8.9.1", "0.0.0.0", "[::1]"]


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


@pytest.mark.parametrize("uri", ["sqlite:////data/mlflow.db", "file:///x", "/x"])
def test_a_store_on_this_disk_is_served_to_every_project(uri):
    for permissions in (OWN, FETCHED, REPEATED, TRUSTED):
        for where in (HERE, ELSEWHERE):
            assert is_served(uri, None, permissions, where)
            assert is_served(uri, "proxy", permissions, where)
            with pytest.raises(InvalidConfig, match="no container gets that"):
                is_served(uri, "direct", permissions, where)


@pytest.mark.parametrize("uri", ["http://x.test:5000", "https://me:pw@x.test", "http://10.0.0.1"])
def test_a_server_is_served_to_other_peoples_projects(uri):
    for permissions in (OWN, TRUSTED):
        assert not is_served(uri, None, permissions, HERE)
        assert not is_served(uri, "direct", permissions, HERE)
        assert is_served(uri, "proxy", permissions, HERE)
    for permissions in (FETCHED, REPEATED):
        assert is_served(uri, None, permissions, HERE)
        with pytest.raises(InvalidProject, match="change other runs") as caught:
            is_served(uri, "direct", permissions, HERE)
        assert "trust" in str(caught.value)
        assert "pw" not in str(caught.value)


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_server_on_loopback_is_served_where_the_engine_is_elsewhere(host):
    uri = f"http://{host}:5000"
    assert not is_served(uri, None, OWN, HERE)
    assert is_served(uri, None, OWN, ELSEWHERE)
    with pytest.raises(TrackingUnreachable, match="on another machine"):
        is_served(uri, "direct", OWN, ELSEWHERE)


def test_a_store_in_memory_is_refused():
    with pytest.raises(TrackingUnreachable, match="lives in this process only"):
        is_served("sqlite://", None, OWN, HERE)


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_server_on_loopback_takes_the_host_network(host):
    assert direct_access(f"http://{host}:5000", "mlflow-artifacts:/1", HERE, {}).host_network


def test_a_server_elsewhere_needs_nothing():
    access = direct_access("https://x.test:5000", "s3://bucket/1", HERE, {})
    assert (access.files, access.host_network) == ((), False)


def test_on_desktop_loopback_becomes_an_address_that_mlflow_accepts():
    access = direct_access("http://u:p@127.0.0.1:5000/x", None, DESKTOP, {})
    assert access.uri == "http://u:p@192.168.65.254:5000/x"
    assert not access.host_network


def test_credentials_are_passed_on_by_what_the_store_needs():
    environ = {
        "MLFLOW_TRACKING_TOKEN": "t",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "7",
        "AWS_ACCESS_KEY_ID": "s3cret",
        "OTHER": "x",
    }
    access = direct_access("https://x.test", "s3://b/1", HERE, environ)
    assert access.environment == {name: environ[name] for name in environ if name != "OTHER"}
    assert access.logins == {*access.environment}
    without = direct_access("https://x.test", None, HERE, environ)
    assert "AWS_ACCESS_KEY_ID" not in without.environment
    assert "s3cret" not in repr(access)


def test_a_served_program_gets_a_token_and_no_login_of_the_store():
    environ = {
        "MLFLOW_TRACKING_TOKEN": "mine",
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": "pw",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "7",
        "AWS_ACCESS_KEY_ID": "s3cret",
    }
    access = served_access("172.17.0.1", 5000, "its own", None, environ)
    assert access.uri == "http://172.17.0.1:5000"
    assert access.environment["MLFLOW_TRACKING_TOKEN"] == "its own"
    assert access.environment["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    assert not {*access.environment} & {*environ} - {
        "MLFLOW_TRACKING_TOKEN", "MLFLOW_HTTP_REQUEST_TIMEOUT",
    }  # fmt: skip
    assert "MLFLOW_TRACKING_TOKEN" not in access.logins
    assert (access.files, access.forwarded_port, access.host_network) == ((), 0, False)


def test_a_program_asks_the_proxy_of_the_store_without_an_http_proxy_in_between():
    plain = {"A": "b", "NO_PROXY": "x.test"}
    assert around_http_proxies(plain, "http://172.17.0.1:5000") == plain
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        found = around_http_proxies({**plain, name: "http://p.test"}, "http://172.17.0.1:5000")
        assert (found["NO_PROXY"], found["no_proxy"]) == ("x.test,172.17.0.1", "172.17.0.1")


def test_artifacts_that_are_not_served_have_their_login():
    environ = {"AWS_ACCESS_KEY_ID": "s3cret"}
    access = served_access(None, 5000, "its own", "s3://bucket/1", environ)
    assert access.environment["AWS_ACCESS_KEY_ID"] == "s3cret"
    assert (access.uri, access.forwarded_port) == ("http://127.0.0.1:5000", 5000)


def test_a_credential_file_is_there_at_its_own_path(tmp_path):
    file = tmp_path / "key.json"
    file.touch()
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}
    access = direct_access("https://x.test", "gs://bucket/1", HERE, environ)
    assert access.files == (file,)
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
    assert set(direct_access(*stores, HERE, environ).environment) == names
