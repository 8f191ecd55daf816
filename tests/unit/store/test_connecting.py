"""A run's store is reached as the process that started the run reached it."""

from __future__ import annotations

import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from container_backend.errors import TrackingUnreachable
from container_backend.store.client.connecting import (
    await_listener,
    client_variables,
    is_listening,
    store_address,
    store_variables,
    turn_to_write,
)


@pytest.mark.parametrize(
    ("label", "variable", "address"),
    [
        ("http://host:5000", "http://me:p%40ss@host:5000", "http://me:p%40ss@host:5000"),
        ("http://host:5000", "http://me:pw@172.17.0.1:5000", "http://me:pw@host:5000"),
        ("http://host:5000/x", "http://host:5000/x", "http://host:5000/x"),
        ("sqlite:////a b/mlflow.db", "sqlite:////a b/mlflow.db", "sqlite:////a b/mlflow.db"),
        ("http://host", "", "http://host"),
    ],
)
def test_the_address_on_this_machine_with_the_users_password(label, variable, address):
    assert store_address(label, {"MLFLOW_TRACKING_URI": variable}) == address


def test_only_what_logs_in_is_taken_over():
    environment = {"MLFLOW_TRACKING_TOKEN": "t", "MLFLOW_TRACKING_USERNAME": "", "PATH": "/bin"}
    assert store_variables(environment) == {"MLFLOW_TRACKING_TOKEN": "t"}


def test_a_process_has_the_address_of_a_server_and_none_for_stores_on_this_disk():
    own = {"MLFLOW_TRACKING_URI": "http://another", "MLFLOW_TRACKING_TOKEN": "o", "PATH": "/bin"}
    environment = {"MLFLOW_TRACKING_TOKEN": "t", "HOME": "/mlflow/home"}
    alike = {"MLFLOW_TRACKING_TOKEN": "t", "PATH": "/bin"}
    for address in ("sqlite:////a/mlflow.db", "file:///b"):
        assert client_variables(address, environment, own) == alike
    server = "http://me:pw@host"
    found = client_variables(server, environment, own)
    assert found == {**alike, "MLFLOW_TRACKING_URI": server}


@pytest.fixture
def port(monkeypatch) -> int:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_what_is_no_server_counts_as_there(port):
    assert is_listening("sqlite:////no/such.db")
    assert is_listening("databricks")
    assert not is_listening(f"http://127.0.0.1:{port}")


def test_a_store_without_a_server_is_said_with_its_address_and_no_password(port):
    with pytest.raises(TrackingUnreachable) as caught:
        await_listener(f"http://me:pa55@127.0.0.1:{port}", patience=0)
    assert f"does not answer at http://127.0.0.1:{port}." in str(caught.value)
    assert "Check MLFLOW_TRACKING_URI" in str(caught.value)


def test_one_that_is_just_started_is_waited_for(port, caplog):
    caplog.set_level(logging.INFO)
    servers = []
    later = threading.Timer(0.7, lambda: servers.append(socket.create_server(("127.0.0.1", port))))
    later.start()
    await_listener(f"http://127.0.0.1:{port}")
    servers[0].close()
    assert caplog.text.count("Waiting for the tracking store") == 1


@pytest.mark.parametrize(
    ("uri", "most"),
    [("sqlite:////x.db", 5), ("mysql+pymysql://me:pw@host/x", 5), ("http://host:5000", 20)],
)
def test_only_a_few_threads_write_to_a_database_at_once(uri, most):
    """Each takes two of the fifteen connections that MLflow's client has to one."""
    inside, numbers, counting = [], [], threading.Lock()
    all_there = threading.Barrier(most)

    def write(number: int) -> None:
        with turn_to_write(uri):
            with counting:
                inside.append(number)
                numbers.append(len(inside))
            all_there.wait(30)
            with counting:
                inside.remove(number)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(write, range(20)))
    assert max(numbers) == most


@pytest.mark.parametrize(
    ("own", "is_sent"), [("", True), ("https://x.test", True), ("https://other.test", False)]
)
def test_a_run_whose_container_is_gone_is_finished_with_the_logins_of_this_process(own, is_sent):
    """They go to the store that they were set for; without an address, to that of the run."""
    mine = {"MLFLOW_TRACKING_TOKEN": "t", **({"MLFLOW_TRACKING_URI": own} if own else {})}
    variables = client_variables("https://x.test", {}, mine)
    assert ("MLFLOW_TRACKING_TOKEN" in variables) == is_sent
    assert variables["MLFLOW_TRACKING_URI"] == "https://x.test"
