"""Which engine: as the docker command finds it."""

from __future__ import annotations

import pytest

from container_backend.engine.connection import EngineHost, connect, find_host, require_buildkit
from container_backend.errors import EngineUnavailable


def test_docker_host_comes_first():
    assert find_host({"DOCKER_HOST": "tcp://1.2.3.4:2375"}).url == "tcp://1.2.3.4:2375"


def test_the_default_is_the_socket_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    host = find_host({})
    assert (host.url, host.is_socket) == ("unix:///var/run/docker.sock", True)


def test_a_context_that_does_not_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="nowhere"):
        find_host({"DOCKER_CONTEXT": "nowhere"})


def test_certificates_that_are_not_there(tmp_path):
    environ = {
        "DOCKER_HOST": "tcp://h:1",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(tmp_path),
    }
    with pytest.raises(EngineUnavailable, match="TLS certificates"):
        find_host(environ)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("unix:///no/such.sock", "No such file or directory"),
        ("tcp://127.0.0.1:1", "Connection refused"),
    ],
)
def test_no_engine_is_one_message_with_the_address_and_the_cause(monkeypatch, url, reason):
    monkeypatch.setenv("DOCKER_HOST", url)
    with pytest.raises(EngineUnavailable) as caught:
        connect()
    assert f"No Docker engine answers at {url}: {reason}" in str(caught.value)
    assert caught.value.remedy


def test_an_engine_without_buildkit_is_refused_with_its_version_and_the_one_needed():
    host = EngineHost("tcp://old.test:2375")
    with pytest.raises(EngineUnavailable) as caught:
        require_buildkit(host, {"Version": "17.03.2-ce", "ApiVersion": "1.27"})
    assert "tcp://old.test:2375 is too old: version 17.03.2-ce" in str(caught.value)
    assert "18.09" in str(caught.value)


def test_engines_with_buildkit_are_taken():
    host = EngineHost("tcp://new.test:2375")
    for version in ("1.39", "1.41", "1.51", "2.0"):
        require_buildkit(host, {"Version": "x", "ApiVersion": version})
