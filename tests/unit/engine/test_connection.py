"""An engine that does not answer."""

from __future__ import annotations

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
