"""An engine that does not answer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from container_backend.engine.connection import connect
from container_backend.errors import EngineUnavailable


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


def test_without_the_library_for_ssh_the_message_says_how_to_get_it():
    program = (
        "import sys\n"
        "sys.modules['paramiko'] = None\n"
        "from container_backend.engine import EngineHost, connect\n"
        "connect(EngineHost('ssh://nowhere.invalid'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    last = done.stderr.splitlines()[-2:]
    assert last[0].startswith(
        "container_backend.errors.EngineUnavailable: No Docker engine answers"
    )
    assert "pip install 'mlflow-container-backend[ssh]'" in last[1]
