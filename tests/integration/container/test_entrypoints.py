"""Images with an entry point of their own: a program counts as run only if it was reached."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

import container_backend
from container_backend import labels_and_tags
from tests.support.client import client_of
from tests.support.on_engine import containers_of, remove_images
from tests.support.runs import kept_log, only_run
from tests.support.waiting import wait_until
from tests.support.worker import BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SWALLOWS = [["echo", "starting"], ["python"], ["sh", "-c", "exit 3"]]
# As NVIDIA's: something is done first, then the arguments are run in its place.
PASSES_ON = ["sh", "-c", 'echo starting; exec "$@"', "sh"]


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
    assert "docker_env: image" in tags[labels_and_tags.TAG_REASON]
    assert labels_and_tags.TAG_EXIT_CODE not in tags


@pytest.mark.parametrize("entrypoint", SWALLOWS, ids=lambda words: words[0])
def test_an_entry_point_that_swallows_the_command_is_said(with_entrypoint, engine, entrypoint):
    folder = with_entrypoint(entrypoint)
    with pytest.raises(container_backend.RunFailed, match="does not run the command"):
        container_backend.run(folder, backend_config={"retries": 1, "retry_program": True})
    check_swallowed(str(entrypoint).replace("'", '"'))
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


def test_the_exit_code_of_a_program_that_was_reached_is_its_own(with_entrypoint):
    with pytest.raises(container_backend.RunFailed, match="ended with exit code 3"):
        container_backend.run(with_entrypoint(PASSES_ON, "exit 3"))
    tags = only_run().data.tags
    assert (tags[labels_and_tags.TAG_CAUSE], tags[labels_and_tags.TAG_EXIT_CODE]) == (
        "program",
        "3",
    )


def test_no_mark_is_asked_for_where_the_image_has_no_entry_point(script, engine):
    run = container_backend.run(
        script("import time; time.sleep(600)"), synchronous=False, backend_config={"grace": 0}
    )
    (found,) = containers_of(engine, run.run_id)
    assert not any(labels_and_tags.REACHED in word for word in found.attrs["Config"]["Cmd"])
    run.cancel()
