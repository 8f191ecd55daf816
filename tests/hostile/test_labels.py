"""Containers and images whose labels others wrote: all who may use the engine can."""

from __future__ import annotations

import contextlib
import http.server
import json
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.image import find
from container_backend.machine.owner import owner_id
from container_backend.runs import find as runs_find
from tests.support.client import client_of
from tests.support.commands import run_command
from tests.support.on_engine import containers_of, remove_images
from tests.support.packages import tar_of
from tests.support.processes import kill_supervisors
from tests.support.runs import status_of
from tests.support.waiting import wait_until
from tests.support.worker import BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container_backend.api import ContainerRun


@pytest.fixture
def strange(engine):
    """Starts containers with labels like those of a run of this user; they go with the test."""
    made = []

    def start(*command: str, **labels: str) -> str:
        given = {
            labels_and_tags.LABEL_OWNER: owner_id(),
            labels_and_tags.LABEL_RUN_ID: uuid.uuid4().hex,
            labels_and_tags.LABEL_EXPERIMENT_ID: "0",
            labels_and_tags.LABEL_TRACKING_URI: "sqlite:////nowhere/strange.db",
        }
        given |= {
            labels_and_tags.LABEL_PREFIX + name.replace("_", "-"): text
            for name, text in labels.items()
        }
        made.append(
            client_of(engine).api.create_container(
                BASE, list(command) or ["sleep", "600"], labels=given
            )["Id"]
        )
        client_of(engine).api.start(made[-1])
        return made[-1]

    yield start
    for each in made:
        with contextlib.suppress(Exception):
            client_of(engine).api.remove_container(each, force=True)


PATH = "/mlflow/environment/bin:/usr/local/bin:/usr/bin:/bin"
# Takes the guards out of a supervisor: all labels are believed, and logins go to any address.
CREDULOUS = """
import os
from container_backend.runs.supervise import finishers, supervisor
supervisor.Supervisor._is_known = lambda *_: True
supervisor.is_signed = lambda _labels: True
finishers.client_variables = lambda address, _: {**os.environ, "MLFLOW_TRACKING_URI": address}
"""


@contextlib.contextmanager
def supervisor(prelude: str = "") -> Iterator[Callable[[], tuple[int | None, str]]]:
    """A supervisor in the foreground; gives its exit code, and the lines that it has said so far."""
    program = f"{prelude}\nfrom container_backend.cli.app import main\nmain(['supervise'])"
    log = Path("supervisor.txt").absolute()
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "-c", program], stdout=output, stderr=output)
    try:
        wait_until(lambda: "watching" in log.read_text())
        yield lambda: (process.poll(), log.read_text())
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def supervised():
    with supervisor() as said:
        yield said


@pytest.mark.slow
def test_a_label_is_no_way_to_a_folder_of_this_machine(
    strange, supervised, script, engine, workplace
):
    """Not to remove it, nor to make anything in it."""
    thesis = workplace / "thesis"
    thesis.mkdir()
    (thesis / "chapter").write_text("1")
    (workplace / "mine").mkdir()
    note = {"tracking_uri": "", "experiment_id": "", "temporary": [str(workplace / "mine")]}
    (thesis / "run.json").write_text(json.dumps(note))
    ended = [strange(submission=str(thesis)), strange(submission=f"../../../../../{thesis}")]
    for each in ended:
        client_of(engine).api.kill(each)
    run = container_backend.run(script("pass"), backend_config={"detach": True})
    assert run.wait()
    wait_until(lambda: containers_of(engine, run.run_id) == [])
    assert sorted(file.name for file in thesis.iterdir()) == ["chapter", "run.json"]
    assert (workplace / "mine").exists()
    status, said = supervised()
    assert status is None
    assert "Traceback" not in said
    listed = run_command("container-backend", "ps", "-a", "--json", check=True)
    assert not {each["container_id"] for each in json.loads(listed.stdout)} & set(ended)


JUNK = {"timeout": "abc", "retries": "1e9", "retry_program": "x", "keep": "\u2028", "record": "{"}


STRANGE = (
    JUNK,
    {**JUNK, "timeout": "nan", "retries": "-1"},
    {"timeout": "inf", "tracking_uri": "http://[x", "experiment_id": "no number"},
    {"timeout": "-5", "tracking_uri": "no scheme://\x07", "submission": "0" * 32},
    {"run_id": "", "timeout": "1e999"},
    {"run_id": "..", "submission": "../" * 9},
)


@pytest.mark.slow
def test_labels_that_cannot_be_read_hold_up_no_other_run(strange, supervised, script, engine):
    running = [strange(**labels) for labels in STRANGE]
    for labels in STRANGE:
        client_of(engine).api.kill(strange(**labels))
    run = container_backend.run(script("pass"), backend_config={"detach": True})
    wait_until(lambda: status_of(run.run_id) == "FINISHED", seconds=240)
    wait_until(lambda: containers_of(engine, run.run_id) == [])
    status, said = supervised()
    assert status is None
    assert "Traceback" not in said
    for words in (["ps", "-a"], ["status", run.run_id], ["images"], ["prune", "--dry-run"]):
        done = run_command("container-backend", *words)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    for each in running:
        assert client_of(engine).api.inspect_container(each)["State"]["Running"]


def detached(script, seconds: int = 600) -> ContainerRun:
    program = f"import time; print('begun', flush=True); time.sleep({seconds})"
    return container_backend.run(script(program), backend_config={"detach": True})


def forge_end(strange, engine, victim: ContainerRun) -> None:
    """A container that has ended, with all labels of a run that goes on but for the signature."""
    labels = client_of(engine).containers.get(victim.container_id).labels
    copied = {
        name.removeprefix(labels_and_tags.LABEL_PREFIX).replace("-", "_"): text
        for name, text in labels.items()
        if name.startswith(labels_and_tags.LABEL_PREFIX)
    }
    strange("echo", "forged", **copied | {"signature": "0" * 64, "record": "{}"})


def test_a_label_ends_no_run_of_another_container(own_state, strange, script, engine):
    victim = detached(script)
    with supervisor():
        forge_end(strange, engine, victim)
        other = detached(script, 0)
        wait_until(lambda: status_of(other.run_id) == "FINISHED", seconds=240)
        assert status_of(victim.run_id) == "RUNNING"
    victim.cancel(grace=0)


@pytest.mark.slow
def test_without_the_guard_a_label_ends_the_run_of_another(
    own_state, workplace, strange, script, engine
):
    victim = detached(script)
    kill_supervisors(workplace)
    # A supervisor that begins to watch sees the newest container first.
    forge_end(strange, engine, victim)
    with supervisor(CREDULOUS):
        wait_until(lambda: status_of(victim.run_id) == "FINISHED", seconds=240)
    client_of(engine).api.remove_container(victim.container_id, force=True)


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server that notes the logins that it is sent; gives its address, and the logins."""
    logins: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            logins.append(self.headers.get("Authorization") or "")
            self.send_error(404)

        do_POST = do_GET  # noqa: N815 the name that the library asks for

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", logins
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "prelude",
    [
        pytest.param("", id="guarded", marks=pytest.mark.slow),
        pytest.param(CREDULOUS, id="without the guard", marks=pytest.mark.slow),
    ],
)
def test_no_login_goes_to_the_address_of_a_label(
    own_state, strange, listener, script, monkeypatch, prelude
):
    address, logins = listener
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken-0f-mine")
    with supervisor(prelude):
        strange("true", tracking_uri=address)
        if prelude:
            wait_until(lambda: "Bearer t0ken-0f-mine" in logins, seconds=240)
            return
        other = detached(script, 0)
        wait_until(lambda: status_of(other.run_id) == "FINISHED", seconds=240)
    assert logins == []


@pytest.mark.slow
def test_an_image_with_the_label_of_an_environment_is_not_taken_for_it(
    project, engine, fresh, capfd, monkeypatch
):
    folder = project("entry_points: {main: {command: 'cat /forged 2>/dev/null || echo mine'}}")
    first = container_backend.build(folder)
    image = client_of(engine).images.get(first)
    name = f"container-backend-test/forged:{uuid.uuid4().hex}"
    made = client_of(engine).containers.create(first, "true")
    made.put_archive("/", tar_of({"forged": b"forged\n"}))
    hash_ = image.labels[labels_and_tags.LABEL_ENVIRONMENT_HASH]
    client_of(engine).api.import_image_from_data(
        b"".join(made.export()),
        *name.split(":"),
        changes=[f"LABEL {labels_and_tags.LABEL_ENVIRONMENT_HASH}={hash_}", f"ENV PATH={PATH}"],
    )
    made.remove()
    remove_images(engine, image.id)
    try:
        container_backend.run(folder)
        assert capfd.readouterr().out == "mine\n"
        remove_images(engine, container_backend.build(folder))
        monkeypatch.setattr(find, "_is_noted", lambda *_: True)
        container_backend.run(folder)
        assert capfd.readouterr().out == "forged\n"
    finally:
        remove_images(engine, name)


@pytest.fixture
def labelled(engine):
    """An image with all of our labels, and nothing that can be read in any of them."""
    name = f"container-backend-test/labelled:{uuid.uuid4().hex}"
    made = client_of(engine).api.create_container(
        BASE, ["true"], labels=dict.fromkeys(labels_and_tags.NO_LABELS, "abc")
    )["Id"]
    client_of(engine).api.commit(made, *name.split(":"))
    client_of(engine).api.remove_container(made)
    yield name
    remove_images(engine, name)


def test_a_container_inherits_no_label_from_its_image(labelled, project, engine):
    folder = project(
        f"docker_env: {{image: '{labelled}'}}\nentry_points: {{main: {{command: sleep 60}}}}\n"
    )
    run = container_backend.run(folder, backend_config={"detach": True})
    (container,) = containers_of(engine, run.run_id)
    assert "abc" not in container.labels.values()
    assert set(labels_and_tags.NO_LABELS) <= set(container.labels)
    run.cancel(grace=0)
    assert status_of(run.run_id) == "KILLED"


def test_an_image_whose_labels_cannot_be_read_stops_no_command(labelled):
    for words in (["images"], ["prune", "--dry-run"], ["ps", "-a"]):
        done = run_command("container-backend", *words)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        assert labelled not in done.stdout
    done = run_command("container-backend", "inspect", labelled)
    assert done.returncode == container_backend.InvalidProject.exit_code
    assert "label 'container-backend.mlproject': not JSON" in done.stderr


@pytest.mark.parametrize(
    "guard",
    [
        pytest.param(True, id="guarded"),
        pytest.param(False, id="without the guard", marks=pytest.mark.slow),
    ],
)
def test_a_label_hides_no_run_of_this_user(own_state, strange, script, monkeypatch, guard):
    """Another container has a label that begins as the id of the run does."""
    victim = detached(script)
    prefix = victim.run_id[:6]
    strange(run_id=prefix + uuid.uuid4().hex[6:], submission=uuid.uuid4().hex)
    if guard:
        assert container_backend.attach(prefix).run_id == victim.run_id
    else:
        monkeypatch.setattr(runs_find, "is_signed", lambda _labels: True)
        with pytest.raises(container_backend.InvalidInput, match="runs begin with"):
            container_backend.attach(prefix)
    victim.cancel(grace=0)


# Takes all names for names of entries of the ledger.
ANY_NAME = """
from container_backend.machine import outside
from container_backend.runs.ledger import ledger
outside.is_submission = ledger.is_submission = lambda text: bool(text)
"""


@pytest.mark.slow
def test_without_the_guard_a_label_is_a_way_to_a_folder(
    own_state, own_store, strange, engine, workplace, tmp_path, monkeypatch
):
    # For the supervisor, and for the process that finishes runs.
    (tmp_path / "sitecustomize.py").write_text(ANY_NAME)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    thesis = workplace / "thesis"
    thesis.mkdir()
    note = {"tracking_uri": f"sqlite:///{own_store}", "experiment_id": "0"}
    (thesis / "run.json").write_text(json.dumps(note))
    with supervisor(CREDULOUS):
        strange("true", submission=str(thesis), tracking_uri=note["tracking_uri"])
        wait_until(lambda: not (thesis / "run.json").exists(), seconds=240)
