"""Which engine: as the docker command finds it."""

from __future__ import annotations

import pytest

from container_backend.engine.host import find_host
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
