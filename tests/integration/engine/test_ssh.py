"""An engine on the other side of ssh: a real sshd, and the docker command there."""

from __future__ import annotations

import gc
import getpass
import os
import re
import signal

import pytest

import container_backend
from container_backend.engine import connect
from container_backend.engine.raw_stream import RawStream
from container_backend.errors import NotThere
from container_backend.runs.output.stream import Output
from container_backend.runs.supervise.sampler import run_in
from tests.support.client import client_of
from tests.support.commands import command as run_in_background
from tests.support.commands import run_command
from tests.support.on_engine import remove_images
from tests.support.projects import EXAMPLE
from tests.support.runs import kept_log, only_run
from tests.support.servers import ssh_server
from tests.support.store import files_left
from tests.support.worker import BASE

# The Docker SDK starts an ssh for each request, and closes neither its socket nor the pipes to it.
# Where that ssh has ended, what is left in a pipe cannot be written.
pytestmark = [
    pytest.mark.filterwarnings(rf"ignore:{message}")
    for message in (
        r"unclosed <docker\.transport\.sshconn\.SSHSocket:ResourceWarning",
        r"unclosed file <_io\.(FileIO|Buffered\w+) name=\d+:ResourceWarning",
        r"Exception ignored in. <_io\.BufferedWriter name=\d+:pytest.PytestUnraisableExceptionWarning",
    )
]


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
        gc.collect()  # what the SDK did not close warns in these tests, not in later ones


@pytest.mark.slow
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
    shown = client_of(connected).containers.run(reference, ["cat", "/etc/team"], remove=True)
    assert shown == b"16\n"
    remove_images(connected, reference)
    connected.close()


def test_an_engine_that_ssh_does_not_reach(over_ssh, project, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "ssh://nobody@127.0.0.1:1")
    done = run_command("container-backend", "build", project(requirements__txt=""))
    assert done.returncode == container_backend.EngineUnavailable.exit_code
    assert "No Docker engine answers at ssh://nobody@127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_example_leaves_the_same_files_over_ssh(over_ssh, tmp_path, monkeypatch, example_image):
    """The store is MLflow's default, on this machine; the engine might be on any."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    left = []
    for engine in ("unix:///var/run/docker.sock", over_ssh):
        monkeypatch.setenv("DOCKER_HOST", engine)
        folder = tmp_path / f"folder {len(left)}"
        folder.mkdir()
        done = run_command(
            "container-backend", "run", str(EXAMPLE), "-P", "n_jobs_param=2", cwd=folder
        )
        assert done.returncode == 0, done.stderr
        left.append(files_left(folder))
    assert left[0] == left[1]
    assert {"mlflow.db", "mlruns/0/RUN/artifacts/logs/container.log"} <= left[0]
    assert any(file.endswith("/MLmodel") for file in left[0])


@pytest.fixture
def nearby(over_ssh, monkeypatch) -> None:
    """By the loopback address: it is this machine's engine, and sees the store."""
    port = over_ssh.rpartition(":")[2]
    monkeypatch.setenv("DOCKER_HOST", f"ssh://{getpass.getuser()}@127.0.0.1:{port}")


@pytest.fixture
def shell(project):
    """A project of one command, in an image that is on the engine."""

    def write(command: str) -> str:
        return project(
            f"docker_env: {{image: '{BASE}'}}\nentry_points: {{main: {{command: {command!r}}}}}\n"
        )

    return write


@pytest.mark.parametrize(
    ("command", "out", "err"),
    [
        # It ends without newline.
        pytest.param(
            "printf begun; printf error >&2", "begun", "error", id="at once", marks=pytest.mark.slow
        ),
        pytest.param(
            *("yes | head -c 3000000", "y\n" * 1_500_000, ""), id="much", marks=pytest.mark.slow
        ),
        pytest.param(
            *("for n in 1 2 3; do echo $n; sleep 0.4; done; printf end", "1\n2\n3\nend", ""),
            id="slowly",
        ),
        pytest.param("true", "", "", id="nothing", marks=pytest.mark.slow),
    ],
)
def test_the_output_of_a_run_in_the_foreground_over_ssh(nearby, shell, command, out, err, capfd):
    run = container_backend.run(shell(command))
    shown = capfd.readouterr()
    assert shown.out == out
    assert err in shown.err
    assert sorted(kept_log(run.run_id)) == sorted(out + err)


@pytest.mark.parametrize("program", ["printf end", "echo begun; sleep 1; printf end >&2"])
def test_what_is_attached_to_over_ssh_arrives_by_itself(nearby, engine, program):
    """Without the log of the engine, which would make up for it."""
    connected = connect()
    container = client_of(engine).api.create_container(BASE, ["sh", "-c", program])["Id"]
    try:
        output = Output(connected, container)
        client_of(engine).api.start(container)
        said = b"".join(chunk.data for chunk in output)
        assert said == (b"end" if program == "printf end" else b"begun\nend")
    finally:
        client_of(engine).api.remove_container(container, force=True)
        connected.close()


@pytest.mark.slow
def test_a_run_is_cancelled_over_ssh_while_its_output_is_shown(nearby, shell):
    folder = shell("trap 'printf bye; exit 0' TERM; echo begun; while :; do sleep 0.1; done")
    with run_in_background("container-backend", "run", folder) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "bye"
        assert process.wait(60) == 130
    assert only_run().info.status == "KILLED"
    assert kept_log(only_run().info.run_id) == "begun\nbye"


@pytest.mark.slow
def test_a_detached_run_is_followed_over_ssh(nearby, shell):
    run = container_backend.run(
        shell("echo begun; sleep 3; printf end"), backend_config={"detach": True}
    )
    followed = run_command("container-backend", "logs", "-f", run.run_id, check=True)
    assert followed.stdout == "begun\nend"
    assert run.wait()


def test_what_a_program_says_that_is_run_beside_another_over_ssh(nearby, engine):
    """As the driver's tool that tells what GPUs do."""
    container = client_of(engine).api.create_container(BASE, ["sleep", "60"])["Id"]
    try:
        client_of(engine).api.start(container)
        connected = connect()
        assert run_in(connected, container, ["sh", "-c", "printf 1; printf 2 >&2"]) == b"1"
        with pytest.raises(NotThere):
            run_in(connected, "missing", ["true"])
        connected.close()
    finally:
        client_of(engine).api.remove_container(container, force=True)


def test_a_stream_that_is_lost_is_made_up_for_by_the_log_of_the_engine(
    shell, monkeypatch, capfd, engine
):
    """Whatever ends it: the stream of a program that wrote nothing ends in the same way."""
    monkeypatch.setattr(RawStream, "read", lambda _: b"")
    run = container_backend.run(shell("echo begun; printf end"))
    assert capfd.readouterr().out == "begun\nend"
    assert kept_log(run.run_id) == "begun\nend"


def test_a_container_that_is_missing_is_named(engine):
    with pytest.raises(NotThere, match="No such container: missing"):
        Output(engine, "missing")
