"""Containers and images whose labels others wrote: all who may use the engine can."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.machine.owner import owner_id
from tests.support.client import client_of
from tests.support.commands import run_command
from tests.support.on_engine import containers_of, remove_images
from tests.support.runs import status_of
from tests.support.waiting import wait_until
from tests.support.worker import BASE


@pytest.fixture
def strange(engine):
    """Starts containers with labels like those of a run of this user; they go with the test."""
    made = []

    def start(**labels: str) -> str:
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
            client_of(engine).api.create_container(BASE, ["sleep", "600"], labels=given)["Id"]
        )
        client_of(engine).api.start(made[-1])
        return made[-1]

    yield start
    for each in made:
        with contextlib.suppress(Exception):
            client_of(engine).api.remove_container(each, force=True)


@pytest.fixture
def supervised():
    """A supervisor in the foreground; gives the lines that it has said so far."""
    program = str(Path(sys.executable).with_name("container-backend"))
    log = Path("supervisor.txt").absolute()
    with log.open("w") as output:
        process = subprocess.Popen([program, "supervise"], stdout=output, stderr=output)
    try:
        wait_until(lambda: "watching" in log.read_text())
        yield lambda: (process.poll(), log.read_text())
    finally:
        process.kill()
        process.wait()


def test_a_label_is_no_way_to_a_folder_of_this_machine(
    strange, supervised, script, engine, workplace
):
    """Not to remove it, nor to make anything in it."""
    thesis = workplace / "thesis"
    thesis.mkdir()
    (thesis / "chapter").write_text("1")
    note = {"tracking_uri": "", "experiment_id": "", "temporary": [str(workplace / "store")]}
    (thesis / "run.json").write_text(json.dumps(note))
    ended = [strange(submission=str(thesis)), strange(submission=f"../../../../../{thesis}")]
    for each in ended:
        client_of(engine).api.kill(each)
    run = container_backend.run(script("pass"), backend_config={"detach": True})
    assert run.wait()
    wait_until(lambda: containers_of(engine, run.run_id) == [])
    assert sorted(file.name for file in thesis.iterdir()) == ["chapter", "run.json"]
    assert (workplace / "store").exists()
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
