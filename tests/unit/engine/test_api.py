"""What the SDK and the libraries below it raise, as errors of ours."""

from __future__ import annotations

import http.client
import socket
import subprocess

import pytest
import requests
import urllib3.exceptions
from docker import errors
from docker.transport.sshconn import SSHSocket

from container_backend.engine import EngineHost
from container_backend.engine.api import Connection, Silent, asking
from container_backend.errors import EngineError, EngineUnavailable, NotThere, Refused


def answer(status: int) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    return made


@pytest.mark.parametrize(
    ("raised", "kind", "message", "status"),
    [
        (errors.NotFound("404", answer(404), "no container x"), NotThere, "no container x", 404),
        (errors.ImageNotFound("404", answer(404), "no image x"), NotThere, "no image x", 404),
        (errors.APIError("409", answer(409), "is paused"), Refused, "is paused", 409),
        (
            errors.APIError("500", answer(500), "unrecognized image ID sha256:1"),
            NotThere,
            "unrecognized image ID sha256:1",
            500,
        ),
        (
            errors.APIError("500", answer(500), "layer does not exist"),
            NotThere,
            "layer does not exist",
            500,
        ),
        (errors.InvalidVersion("mounts are newer"), Refused, "mounts are newer", 0),
    ],
)
def test_an_answer_that_is_an_error(raised, kind, message, status):
    with pytest.raises(Refused) as caught, asking():
        raise raised
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.status) == (message, status)


@pytest.mark.parametrize(
    "raised",
    [
        requests.exceptions.ConnectionError("refused"),
        requests.exceptions.ChunkedEncodingError("torn"),
        urllib3.exceptions.ProtocolError("torn"),
        http.client.RemoteDisconnected("closed"),
        http.client.BadStatusLine("no HTTP"),
        ConnectionResetError(104, "Connection reset by peer"),
        BrokenPipeError(32, "Broken pipe"),
    ],
)
def test_a_connection_that_is_lost(raised):
    with pytest.raises(EngineUnavailable) as caught, asking():
        raise raised
    assert not isinstance(caught.value, Silent)


@pytest.mark.parametrize(
    "raised",
    [
        requests.exceptions.ReadTimeout("timed out"),
        urllib3.exceptions.ReadTimeoutError(None, None, "timed out"),
    ],
)
def test_an_engine_that_says_nothing(raised):
    with pytest.raises(Silent, match="timed out"), asking():
        raise raised


def test_the_innermost_cause_is_told():
    wrapped = requests.exceptions.ConnectionError("('Connection aborted.', …)")
    with pytest.raises(EngineUnavailable) as caught, asking():
        raise wrapped from ConnectionRefusedError(111, "Connection refused")
    assert caught.value.message == "The engine does not answer: Connection refused"


def test_what_is_no_business_of_the_engine_comes_through():
    ours = EngineUnavailable("too old")
    with pytest.raises(EngineUnavailable) as caught, asking():
        raise ours
    assert caught.value is ours
    with pytest.raises(ValueError, match="mine"), asking():
        raise ValueError("mine")


def test_every_error_of_an_engine_can_be_caught_as_one():
    assert all(issubclass(each, EngineError) for each in (Refused, NotThere, EngineUnavailable))
    assert not issubclass(EngineUnavailable, Refused)


def test_a_connection_whose_ssh_has_ended_is_closed_without_an_error():
    Connection(EngineHost("ssh://nowhere.invalid")).close()
    connection = SSHSocket("nowhere.invalid")
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as connection.proc:
        connection.proc.wait()
        connection.close()
        assert connection.proc.stdin.closed
    socket.socket.close(connection)
