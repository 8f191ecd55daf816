"""Images with an entry point of their own: a program counts as run only if it was reached."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import mlflow
import pytest

import container_backend
from container_backend import labels_and_tags
from tests.support.client import client_of
from tests.support.commands import run_process
from tests.support.on_engine import containers_of, remove_images
from tests.support.runs import WAITED_OR_DETACHED, kept_log, only_run
from tests.support.waiting import wait_until
from tests.support.worker import BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SWALLOWS = {
    "prints": ["echo", "starting"],
    "python": ["python"],
    "fails": ["sh", "-c", "exit 3"],
    "script": ["sh", "-c", "echo starting; exit 0"],
    "shell": ["/bin/sh", "-c"],
    "one word": ["sh", "-c", 'sh -c "$*"', "sh"],
    "first word": ["sh", "-c", 'exec "$1"', "sh"],
}
# As NVIDIA's: something is done first, then the arguments are run in its place.
PASSES_ON = ["sh", "-c", 'echo starting; exec "$@"', "sh"]
# Runs its arguments the first time that its container starts.
RUNS_ONCE = ["sh", "-c", 'test -e /tmp/once && exit 0; touch /tmp/once; exec "$@"', "sh"]


@pytest.fixture
def with_entrypoint(engine, project) -> Iterator[Callable[..., str]]:
    """A project whose image has an entry point."""
    name = f"container-backend-test/entry-point:{uuid.uuid4().hex}"

    def write(entrypoint: list[str], command: str = "echo reached") -> str:
        made = client_of(engine).containers.create(BASE, "true")
        made.commit(*name.split(":"), conf={"Entrypoint": entrypoint})
        made.remove()
        return project(
            f"docker_env: {{image: '{name}'}}\nentry_points: {{main: {{command: '{command}'}}}}\n"
        )

    yield write
    remove_images(engine, name)


def check_swallowed(entrypoint: str) -> None:
    run = only_run()
    tags = run.data.tags
    assert (run.info.status, tags[labels_and_tags.TAG_CAUSE]) == ("FAILED", "not_started")
    assert f"entry point {entrypoint} does not run the command" in tags[labels_and_tags.TAG_REASON]
    assert '-A entrypoint=""' in tags[labels_and_tags.TAG_REASON]
    assert "docker_env: image" in tags[labels_and_tags.TAG_REASON]
    assert labels_and_tags.TAG_EXIT_CODE not in tags


@pytest.mark.parametrize("name", SWALLOWS)
def test_an_entry_point_that_swallows_the_command_is_said(with_entrypoint, engine, name):
    entrypoint = SWALLOWS[name]
    folder = with_entrypoint(entrypoint)
    with pytest.raises(container_backend.RunFailed, match="does not run the command"):
        container_backend.run(folder, backend_config={"retries": 1, "retry_program": True})
    check_swallowed(json.dumps(entrypoint))
    assert containers_of(engine, only_run().info.run_id) == []


def test_it_is_said_of_a_run_that_goes_on_by_itself(with_entrypoint):
    run = container_backend.run(with_entrypoint(["echo", "starting"]), synchronous=False)
    assert not run.wait()
    check_swallowed('["echo", "starting"]')


@pytest.mark.slow
def test_it_is_said_of_a_run_whose_client_was_killed(with_entrypoint):
    folder = with_entrypoint(["sh", "-c", "echo begun; sleep 8"])
    client = subprocess.Popen(
        [sys.executable, "-m", "container_backend", "run", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert client.stdout.readline() == b"begun\n"
    client.send_signal(signal.SIGKILL)
    client.communicate()
    wait_until(lambda: only_run().info.status == "FAILED")
    check_swallowed('["sh", "-c", "echo begun; sleep 8"]')


@pytest.mark.parametrize("user", [None, "12345:12345"])
def test_an_entry_point_that_runs_its_arguments(with_entrypoint, user):
    folder = with_entrypoint(PASSES_ON)
    args = {"user": user} if user else {}
    for _ in range(3):  # the later ones share the code of the first
        run = container_backend.run(folder, docker_args=args)
        assert kept_log(run.run_id) == "starting\nreached\n"


@pytest.mark.parametrize("name", SWALLOWS)
def test_a_run_without_the_entry_point_of_the_image(with_entrypoint, name):
    folder = with_entrypoint(SWALLOWS[name])
    run = container_backend.run(folder, docker_args={"entrypoint": ""})
    assert kept_log(run.run_id) == "reached\n"


def test_the_entry_point_is_replaced_from_the_command_of_mlflow(with_entrypoint):
    folder = with_entrypoint(SWALLOWS["prints"])
    done = run_process("mlflow", "run", folder, "-b", "docker", "-A", "entrypoint=")
    assert (done.returncode, done.stdout) == (0, "reached\n")


def test_another_entry_point(with_entrypoint):
    folder = with_entrypoint(SWALLOWS["prints"])
    run = container_backend.run(folder, docker_args={"entrypoint": ["env", "-u", "HOME"]})
    assert kept_log(run.run_id) == "reached\n"
    mlflow.delete_run(run.run_id)
    with pytest.raises(container_backend.RunFailed):
        container_backend.run(folder, docker_args={"entrypoint": "echo"})
    check_swallowed('["echo"]')


@pytest.mark.parametrize("workdir", ["/mlflow/projects/code", "/usr/my lib"])
def test_an_entry_point_that_changes_the_folder(with_entrypoint, workdir):
    folder = with_entrypoint(["sh", "-c", 'cd /; exec "$@"', "sh"], "pwd")
    run = container_backend.run(folder, docker_args={"workdir": workdir})
    assert kept_log(run.run_id) == f"{workdir}\n"


@pytest.mark.parametrize("detach", WAITED_OR_DETACHED)
def test_a_second_attempt_that_was_not_reached_is_said(with_entrypoint, detach):
    folder = with_entrypoint(RUNS_ONCE, "exit 3")
    config = {"retries": 1, "retry_program": True}
    if detach:
        assert not container_backend.run(folder, backend_config=config, synchronous=False).wait()
    else:
        with pytest.raises(container_backend.RunFailed, match="does not run the command"):
            container_backend.run(folder, backend_config=config)
    check_swallowed(json.dumps(RUNS_ONCE))
    assert only_run().data.tags[labels_and_tags.TAG_ATTEMPTS] == "2"


def test_attempts_that_are_reached_have_exit_codes_of_their_own(with_entrypoint):
    folder = with_entrypoint(PASSES_ON, "test -e /tmp/once && exit 4; touch /tmp/once; exit 3")
    with pytest.raises(container_backend.RunFailed, match="exit code 4"):
        container_backend.run(folder, backend_config={"retries": 1, "retry_program": True})
    tags = only_run().data.tags
    assert (tags[labels_and_tags.TAG_CAUSE], tags[labels_and_tags.TAG_ATTEMPTS]) == ("program", "2")


def test_an_entry_point_that_is_not_in_the_image(script):
    with pytest.raises(container_backend.RunFailed, match="exec /none failed"):
        container_backend.run(script("pass"), docker_args={"entrypoint": "/none"})
    check_swallowed('["/none"]')


def test_the_exit_code_of_a_program_that_was_reached_is_its_own(with_entrypoint):
    with pytest.raises(container_backend.RunFailed, match="ended with exit code 3"):
        container_backend.run(with_entrypoint(PASSES_ON, "exit 3"))
    tags = only_run().data.tags
    assert (tags[labels_and_tags.TAG_CAUSE], tags[labels_and_tags.TAG_EXIT_CODE]) == (
        "program",
        "3",
    )
