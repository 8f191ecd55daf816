"""Why a run did not finish: in its tags, in its description, in the error that its caller gets."""

from __future__ import annotations

import io
import shutil
import tarfile
import threading
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.container import create_container, gathered, inspect_container
from container_backend.container.status_and_reason import Signs
from container_backend.runs import launch
from tests.support.client import client_of
from tests.support.on_engine import containers_of, remove_images
from tests.support.projects import EXAMPLE, with_steps
from tests.support.runs import only_run, runs
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import mlflow


def said_of(run: mlflow.entities.Run) -> tuple[str, str, str | None]:
    """Status, cause and exit code; the reason is in the description, too."""
    tags = run.data.tags
    assert tags[labels_and_tags.TAG_REASON]
    first_line = " ".join(tags[labels_and_tags.TAG_REASON].split()).replace("|", "\\|")
    assert first_line in tags.get("mlflow.note.content", first_line)
    return run.info.status, tags[labels_and_tags.TAG_CAUSE], tags.get(labels_and_tags.TAG_EXIT_CODE)


# What the program does, and what is said of it.
ENDS = {
    "exit code": (
        "import sys; print('first words\\nlast words', file=sys.stderr); sys.exit(3)",
        "the program ended with exit code 3", "program", "3",
    ),
    "its own signal": (
        "import os; print('last words', flush=True); os.abort()",
        "ended by SIGABRT (exit code 134)", "signal", "134",
    ),
    "a program of another that is not there": (
        "import subprocess, sys; print('last words', flush=True); sys.exit(127)",
        "command not found (exit code 127)", "program", "127",
    ),
    "the exit code of lost containers": (
        "import sys; print('last words', flush=True); sys.exit(-1)",
        "the program ended with exit code 255", "program", "255",
    ),
}  # fmt: skip


def test_a_lack_of_memory_is_known_that_the_engine_tells_after_the_end(script, engine):
    with pytest.raises(container_backend.RunFailed):
        container_backend.run(
            script("x = bytearray(400_000_000); print(len(x))"),
            docker_args={"memory": "64m", "memory-swap": "64m"},
            backend_config={"keep": "always"},
        )
    (container,) = containers_of(engine, only_run().info.run_id)
    found = inspect_container(engine, container.id)
    # As an engine describes the container until it knows.
    before = replace(found, state={**found.state, "OOMKilled": False})
    assert gathered(engine, before, Signs()) == Signs(out_of_memory=True)
    assert gathered(engine, before, Signs(signal=9)) == Signs(signal=9)
    container.remove()


@pytest.mark.parametrize("case", ENDS)
def test_what_the_program_did(script, engine, case):
    program, reason, cause, code = ENDS[case]
    with pytest.raises(container_backend.RunFailed) as caught:
        container_backend.run(script(program))
    run = only_run()
    assert said_of(run) == ("FAILED", cause, code)
    assert reason in run.data.tags[labels_and_tags.TAG_REASON]
    assert reason in caught.value.message
    assert caught.value.last_lines[-1] == "last words"
    assert "last words" in str(caught.value)
    note = run.data.tags["mlflow.note.content"]
    assert "The last lines of its output:" in note
    assert "\nlast words\n" in note
    assert containers_of(engine, run.info.run_id) == []


# The program whose container another client interferes with.
WAITS = """
    import time
    print("last words", flush=True)
    time.sleep(600)
"""


def _remove(engine, container: str) -> None:
    client_of(engine).api.remove_container(container, force=True)


OUTSIDE = {
    "docker stop": (
        lambda engine, container: client_of(engine).api.stop(container, timeout=5),
        "killed from outside: a client of the engine sent SIGTERM", "killed", "143",
    ),
    "docker rm --force": (_remove, "the container was removed from outside", "removed", None),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_another_client_did(script, engine, case):
    """While its caller waits for it."""
    do, reason, cause, code = OUTSIDE[case]

    def interfere() -> None:
        container = wait_until(_container)
        wait_until(lambda: b"last words" in client_of(engine).api.logs(container))
        do(engine, container)

    def _container() -> str | None:
        """On record a moment after the run is."""
        return next((run.data.tags.get(labels_and_tags.TAG_CONTAINER_ID) for run in runs()), None)

    thread = threading.Thread(target=interfere)
    thread.start()
    with pytest.raises(container_backend.RunFailed) as caught:
        container_backend.run(script(WAITS, command="exec python main.py"))
    thread.join()
    run = only_run()
    assert said_of(run) == ("FAILED", cause, code)
    assert reason in run.data.tags[labels_and_tags.TAG_REASON]
    assert reason in str(caught.value)
    assert caught.value.last_lines == ("last words",)
    assert "\nlast words\n" in run.data.tags["mlflow.note.content"]


def test_a_child_that_runs_out_of_memory(script):
    """Engines say so by a flag, by an event, or by both: which of them is not the same for all."""
    program = """
        import subprocess, sys
        print("last words", flush=True)
        child = subprocess.run([sys.executable, "-c", "bytearray(400_000_000)"])
        sys.exit(5 if child.returncode == -9 else 0)
    """
    with pytest.raises(container_backend.RunFailed, match="out of memory") as caught:
        container_backend.run(script(program), docker_args={"memory": "64m", "memory-swap": "64m"})
    run = only_run()
    assert said_of(run) == ("FAILED", "out_of_memory", "5")
    assert run.data.tags[labels_and_tags.TAG_OUT_OF_MEMORY] == "true"
    assert caught.value.last_lines == ("last words",)


def test_a_timeout(script):
    with pytest.raises(container_backend.RunFailed, match=r"longer than its timeout of 1\.5 s"):
        container_backend.run(script(WAITS), backend_config={"timeout": 1.5, "grace": 1})
    run = only_run()
    assert said_of(run)[:2] == ("FAILED", "timeout")
    assert "\nlast words\n" in run.data.tags["mlflow.note.content"]


def test_a_timeout_of_a_detached_run(script):
    run = container_backend.run(
        script(WAITS), backend_config={"timeout": 2, "grace": 1, "detach": True}
    )
    assert not run.wait()
    assert said_of(only_run())[:2] == ("FAILED", "timeout")
    with pytest.raises(container_backend.RunFailed, match="longer than its timeout of 2 s"):
        run.result()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"device": "/dev/no-such-device"}, "no-such-device"),
        ({"mount": "type=bind,source=/no/such/folder,target=/x"}, "/no/such/folder"),
        ({"workdir": "/etc/hostname"}, "not a directory"),
    ],
    ids=["a device", "a mount", "a working directory"],
)
def test_what_the_engine_refuses(script, engine, args, said):
    with pytest.raises(container_backend.ContainerError, match="could not be") as caught:
        container_backend.run(script("pass"), docker_args=args)
    run = only_run()
    assert said_of(run) == ("FAILED", "not_started", None)
    assert said in run.data.tags[labels_and_tags.TAG_REASON]
    assert said in str(caught.value)
    assert containers_of(engine, run.info.run_id) == []


@pytest.fixture
def bare_image(engine) -> Iterator[str]:
    """Without any program in it, nor a shell."""
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w"):
        pass
    name = f"bare-{uuid.uuid4().hex[:8]}:1"
    client_of(engine).api.import_image_from_data(empty.getvalue(), *name.split(":"))
    yield name
    remove_images(engine, name)


def test_an_image_without_a_shell(project, engine, bare_image):
    """The engine's own first process says so."""
    folder = project(
        f"docker_env: {{image: '{bare_image}'}}\nentry_points: {{main: {{command: x}}}}\n"
    )
    with pytest.raises(container_backend.RunFailed, match="the image has no shell") as caught:
        container_backend.run(folder)
    run = only_run()
    assert said_of(run) == ("FAILED", "not_started", None)
    assert "exec sh failed" in caught.value.last_lines[-1]
    assert "exec sh failed" in run.data.tags["mlflow.note.content"]
    assert containers_of(engine, run.info.run_id) == []


@pytest.mark.slow
def test_an_image_that_vanishes_before_its_container_is_made(script, engine, fresh):
    """Another client removes the image in that moment; the next run builds it again."""
    folder = with_steps(script("print('there')"), "final", f"RUN echo {uuid.uuid4()}")

    def remove_then_create(*arguments: Any) -> str:
        remove_images(engine, arguments[1].image)
        return create_container(*arguments)

    with pytest.MonkeyPatch.context() as patch:  # the moment; the engine is the real one
        patch.setattr(launch, "create_container", remove_then_create)
        with pytest.raises(container_backend.ContainerError, match="No such image") as caught:
            container_backend.run(folder)
    assert "removed meanwhile" in str(caught.value)
    run = only_run()
    assert said_of(run) == ("FAILED", "not_started", None)
    assert "No such image" in run.data.tags[labels_and_tags.TAG_REASON]
    assert container_backend.run(folder).get_status() == "FINISHED"


@pytest.mark.slow
def test_a_program_that_sets_another_experiment_than_its_runs(script, example_image):
    folder = script(
        "import mlflow\nmlflow.set_experiment('another')\nwith mlflow.start_run(): pass\n"
    )
    for name in ("python_env.yaml", "requirements.txt"):
        shutil.copy(EXAMPLE / name, folder)
    with pytest.raises(container_backend.RunFailed) as caught:
        container_backend.run(folder, experiment_name="mine")
    (run,) = [each for each in runs() if each.info.status == "FAILED"]
    assert said_of(run) == ("FAILED", "program", "1")
    for said in (run.data.tags[labels_and_tags.TAG_REASON], str(caught.value)):
        assert "the program calls mlflow.set_experiment, but its run is in 'mine' already" in said
    assert "Cannot start run with ID" in "\n".join(caught.value.last_lines)


@pytest.mark.slow
@pytest.mark.parametrize("store", ["http://localhost:5000", "sqlite:///mlflow.db", "file:./mlruns"])
def test_a_program_that_names_a_store_of_its_own(script, example_image, monkeypatch, store):
    """As many do that were written for one machine; with `mlflow run` on it, they work."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    folder = script(
        f"import mlflow\nmlflow.set_tracking_uri({store!r})\nwith mlflow.start_run(): pass"
    )
    for name in ("python_env.yaml", "requirements.txt"):
        shutil.copy(EXAMPLE / name, folder)
    with pytest.raises(container_backend.RunFailed, match="store that does not have its run"):
        container_backend.run(folder, docker_args={"env": "MLFLOW_HTTP_REQUEST_MAX_RETRIES"})
