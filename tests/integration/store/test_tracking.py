"""Every kind of tracking store, reached from within the container."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest

import container_backend
from tests.support.client import client_of
from tests.support.commands import command, run_command
from tests.support.forwarding import forward
from tests.support.on_engine import containers_of
from tests.support.projects import EXAMPLE
from tests.support.runs import logged_metrics, only_run, runs
from tests.support.servers import TrackingServer
from tests.support.store import copy_empty_store
from tests.support.waiting import wait_until
from tests.support.worker import BASE

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGS = """
    import mlflow, pathlib
    with mlflow.start_run():
        mlflow.log_metric("answer", 42)
        pathlib.Path("note.txt").write_text("hello")
        mlflow.log_artifact("note.txt")
"""


@pytest.fixture
def logging_project(script, example_image):
    """A project in the example's environment, so that it is built once."""
    folder = script(LOGS)
    for name in ("python_env.yaml", "requirements.txt"):
        shutil.copy(EXAMPLE / name, folder)
    return folder


def with_server(folder: Path, host: str = "127.0.0.1") -> TrackingServer:
    """A server, not started yet, whose empty store need not be made."""
    copy_empty_store(folder / "server.db", "mlflow-artifacts:/0")
    return TrackingServer(folder, f"sqlite:///{folder}/server.db", host)


@pytest.fixture(scope="module")
def tracking_server(tmp_path_factory) -> Iterator[str]:
    """The address of a server on loopback, for several tests: to start one takes seconds."""
    with with_server(tmp_path_factory.mktemp("tracking server")) as server:
        yield server.address


def check(run_id: str) -> None:
    found = mlflow.get_run(run_id)
    assert found.info.status == "FINISHED"
    assert logged_metrics(found) == {"answer": 42}
    artifact = mlflow.artifacts.load_text(f"{found.info.artifact_uri}/note.txt")
    assert artifact == "hello"


def test_the_store_of_a_fresh_machine(logging_project, monkeypatch, workplace):
    """MLflow's default: a database and artifacts in the current directory."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    run = container_backend.run(logging_project)
    check(run.run_id)
    assert (workplace / "mlflow.db").is_file()
    assert (workplace / "mlruns").is_dir()


@pytest.mark.usefixtures("no_store")
@pytest.mark.slow
def test_first_runs_at_once_make_the_store_once(project):
    """And the experiment, which none of them finds."""
    folder = project("entry_points: {main: {command: 'true'}}\n")
    container_backend.build(folder)
    arguments = ("container-backend", "run", folder, "--experiment-name", "new")
    with ExitStack() as stack:
        started = [stack.enter_context(command(*arguments)) for _ in range(3)]
        ends = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ends
    assert [run.info.status for run in runs()] == ["FINISHED"] * 3


@pytest.mark.slow
def test_a_relative_database(logging_project, monkeypatch, workplace):
    (workplace / "deep").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///deep/my.db")
    run = container_backend.run(logging_project)
    check(run.run_id)
    assert [path.name for path in (workplace / "deep").iterdir()] == ["my.db"]


def test_a_store_of_files(logging_project, monkeypatch, workplace):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(workplace / "files"))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    check(container_backend.run(logging_project).run_id)


def test_a_server_on_loopback(logging_project, monkeypatch, tracking_server):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_server)
    check(container_backend.run(logging_project).run_id)


def test_a_file_with_a_login_is_copied_to_its_path_and_nothing_is_mounted(
    script, monkeypatch, tracking_server, workplace, engine, capfd
):
    """So that it is there on every engine."""
    name = "MLFLOW_TRACKING_SERVER_CERT_PATH"
    file = workplace / "certificate.pem"
    file.write_text("of the server")
    file.chmod(0o600)
    monkeypatch.setenv(name, str(file))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_server)
    folder = script(f"import os; print(open(os.environ['{name}']).read())")
    for _ in range(3):  # the third time, the code is shared
        run = container_backend.run(folder, backend_config={"keep": "always"})
        assert capfd.readouterr().out.startswith("of the server\n")
        (container,) = containers_of(engine, run.run_id)
        assert container.attrs["Mounts"] == []
    container_backend.run(folder, docker_args={"read-only": True})
    assert capfd.readouterr().out.startswith("of the server\n")
    monkeypatch.setenv(name, str(workplace / "missing.pem"))
    container_backend.run(script("print('runs')"))


@pytest.mark.slow
def test_a_server_elsewhere_is_reached_without_the_network_of_this_machine(
    logging_project, monkeypatch, workplace, engine
):
    """On the address of the engine's own bridge, which is another host to the container."""
    bridge = client_of(engine).networks.get("bridge").attrs["IPAM"]["Config"][0]
    gateway = bridge.get("Gateway", "172.17.0.1")
    with with_server(workplace, gateway) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        planned = run_command("container-backend", "run", logging_project, "--dry-run")
        assert "--network" not in planned.stdout, planned.stderr
        check(container_backend.run(logging_project).run_id)


@pytest.mark.usefixtures("no_store", "own_state")
def test_what_a_run_writes_belongs_to_the_user_who_invoked_it(logging_project, workplace, engine):
    """As an ordinary user who may use the engine's socket, and read this interpreter."""
    uid = 54321
    group = Path(engine.host.url.removeprefix("unix://")).stat().st_gid
    for path in (workplace, workplace / "store"):
        os.chown(path, uid, uid)
    done = subprocess.run(
        [
            *("setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={group}"),
            # The interpreter may be in a folder of root's.
            *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--"),
            *(sys.executable, "-m", "container_backend", "run", logging_project),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(workplace)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    owners = {path: path.stat().st_uid for path in workplace.rglob("*")}
    assert set(owners.values()) == {uid}, owners
    assert any(path.name == "note.txt" for path in owners)
    check(only_run().info.run_id)


@pytest.mark.slow
def test_a_program_has_no_group_of_the_user(script, workplace, engine, own_state, own_store):
    """As an ordinary user in the engine's group and another one."""
    uid, other = 54321, 54322
    group = Path(engine.host.url.removeprefix("unix://")).stat().st_gid
    for path in (workplace, own_store.parent, own_store):
        os.chown(path, uid, uid)
    done = subprocess.run(
        [
            *("setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={group},{other}"),
            *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--"),
            *(sys.executable, "-m", "container_backend", "run"),
            script("import os; print(os.getgroups())"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(workplace)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"[{uid}]\n"


def test_fetched_code_is_not_root_where_it_writes_to_no_folder_of_this_machine(
    script, monkeypatch, tracking_server, capfd
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_server)
    container_backend.run(script("import os; print(os.getuid())"))
    assert capfd.readouterr().out.splitlines()[0] == str(os.getuid() or 1000)


def test_a_store_on_this_machine_is_served_to_an_engine_elsewhere(
    logging_project, engine, monkeypatch
):
    """An engine behind a forwarded port, which may be anywhere; its name is not this machine's."""
    socket_file = engine.host.url.removeprefix("unix://")
    with forward(socket_file) as port, monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        patch.setattr(socket, "gethostname", lambda: "some-other-name")
        check(container_backend.run(logging_project).run_id)


def test_an_image_with_an_old_mlflow_logs_to_a_database_of_a_new_one(project):
    """The oldest MLflow 3 in the image, without the client that a database needs."""
    folder = project(
        "entry_points: {main: {command: python main.py}}",
        requirements__txt="mlflow-skinny==3.1.0\n",
        main__py="import mlflow\nmlflow.log_metric('m', 1)\n",
    )
    run = container_backend.run(folder)
    assert mlflow.get_run(run.run_id).data.metrics["m"] == 1


def test_the_password_of_a_server_is_seen_nowhere(project, monkeypatch, tracking_server, own_state):
    """Not in the log of the supervisor, nor in a dry run, nor in a tag, nor on the console."""
    folder = project(
        f"docker_env: {{image: '{BASE}'}}\nentry_points: {{main: {{command: 'true'}}}}\n"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_server.replace("://", "://me:pa55-word@"))
    earlier = {run.info.run_id for run in runs()}

    def mine() -> list[mlflow.entities.Run]:
        return [run for run in runs() if run.info.run_id not in earlier]

    dry = run_command("container-backend", "run", folder, "--dry-run", check=True)
    assert "MLFLOW_TRACKING_URI=http://me:***@127.0.0.1" in dry.stdout
    words = ("container-backend", "run", folder)
    shown = [dry, run_command(*words, check=True)]
    shown.append(run_command(*words, "--detach", check=True))
    wait_until(lambda: [run.info.status for run in mine()] == ["FINISHED"] * 2, seconds=240)
    tags = str([run.data.tags for run in mine()])
    assert "pa55" not in "".join(done.stdout + done.stderr for done in shown) + tags
    (log,) = own_state.rglob("supervisor.log")
    wait_until(lambda: "FINISHED" in log.read_text())  # written after the status
    assert "pa55" not in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
