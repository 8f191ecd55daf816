"""An engine on the other side of ssh: a real sshd, and the docker command there."""

from __future__ import annotations

import os
import re

import pytest

import container_backend
from container_backend.engine import connect
from tests.support.commands import run_command
from tests.support.servers import ssh_server


@pytest.fixture
def over_ssh(tmp_path, monkeypatch):
    """The engine by way of ssh; its address."""
    with ssh_server(tmp_path / "ssh") as (address, command):
        programs = tmp_path / "programs"
        programs.mkdir()
        # The SDK and the product call the user's own ssh, which has its settings in the home folder.
        (programs / "ssh").write_text(
            f'#!/bin/sh\nexec {command.replace("ssh", "/usr/bin/ssh", 1)} "$@"\n'
        )
        (programs / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        # The SDK takes port 22 where the address has none, whatever the settings say.
        port = re.search(r"Port (\d+)", (tmp_path / "ssh" / "config").read_text())[1]
        monkeypatch.setenv("DOCKER_HOST", f"ssh://{address}:{port}")
        yield f"ssh://{address}:{port}"


def test_an_image_is_built_with_a_secret_over_ssh(over_ssh, project, monkeypatch):
    connected = connect()
    assert connected.host.url == over_ssh
    monkeypatch.setenv("TEAM_TOKEN", "t0p-s3cret-token")
    folder = project(
        "entry_points: {main: {command: 'cat /etc/team'}}\n",
        Dockerfile__j2="{% block system %}\n"
        "RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /etc/team\n"
        "{% endblock %}\n",
    )
    config = {"build_secrets": {"token": {"env": "TEAM_TOKEN"}}, "rebuild": True}
    reference = container_backend.build(folder, backend_config=config)
    shown = connected.client.containers.run(reference, ["cat", "/etc/team"], remove=True)
    assert shown == b"16\n"
    connected.client.images.remove(reference)
    connected.close()


def test_an_engine_that_ssh_does_not_reach(over_ssh, project, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "ssh://nobody@127.0.0.1:1")
    done = run_command("container-backend", "build", project(requirements__txt=""))
    assert done.returncode == container_backend.EngineUnavailable.exit_code
    assert "No Docker engine answers at ssh://nobody@127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
