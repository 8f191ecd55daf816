"""Runs without a client that waits, and what finishes them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
import uuid
from pathlib import Path

import mlflow
import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.machine.owner import owner_id, owner_key
from tests.support.client import client_of
from tests.support.commands import command, run_process
from tests.support.disks import fill, tiny_disk
from tests.support.on_engine import containers_of
from tests.support.processes import kill_supervisors, supervisors
from tests.support.projects import with_steps
from tests.support.runs import UNTIL_TOLD, kept_log, let_end, only_run, runs, status_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_state")

# Not the minute after which a supervisor looks by itself.
SOON_SECONDS = 45
# As long and with the exit code that it is told.
SLEEPS = """
    import sys, time
    print("started", flush=True)
    time.sleep(float(sys.argv[1]))
    print("the end", end="", flush=True)
    sys.exit(int(sys.argv[2]))
"""
WAITS = f"""
    import os, sys, time
    print("started", flush=True)
    {UNTIL_TOLD}
    print("the end", end="", flush=True)
    sys.exit(int(sys.argv[1]))
"""


def sleeps(script, seconds: float = 2, code: int = 0) -> str:
    return script(SLEEPS, command=f"exec python main.py {seconds} {code}")


def waits(script, code: int = 0) -> str:
    return script(WAITS, command=f"exec python main.py {code}")


def wait_for_readings(workplace: Path, runs: int = 1) -> None:
    """Until the supervisor has looked at what each run uses."""
    wait_until(lambda: len(list(workplace.glob("state/**/metrics.jsonl"))) == runs)


def hints(said: str) -> set[str]:
    return set(re.findall(r"`container-backend ([a-z]+(?: -f)?) [0-9a-f]{12}`", said))


@pytest.mark.slow
def test_an_exit_code_that_lost_containers_have_is_no_reason_to_try_again(script):
    config = {"retries": 2}
    run = container_backend.run(
        script("import sys; sys.exit(-1)"), backend_config=config, synchronous=False
    )
    assert not run.wait()
    tags = only_run().data.tags
    assert (tags[labels_and_tags.TAG_CAUSE], tags[labels_and_tags.TAG_EXIT_CODE]) == (
        "program",
        "255",
    )
    assert labels_and_tags.TAG_ATTEMPTS not in tags


@pytest.mark.slow
def test_an_end_that_the_supervisor_has_not_seen_is_the_programs(script, engine, workplace):
    run = container_backend.run(sleeps(script, 3, 255), synchronous=False)
    (container,) = containers_of(engine, run.run_id)
    kill_supervisors(workplace)
    client_of(engine).api.wait(container.id)
    assert not run.wait()
    tags = only_run().data.tags
    assert (tags[labels_and_tags.TAG_CAUSE], tags[labels_and_tags.TAG_EXIT_CODE]) == (
        "program",
        "255",
    )


def test_a_detached_run_returns_at_once_says_how_to_follow_it_and_is_finished(
    script, engine, workplace
):
    done = run_process("container-backend", "run", waits(script, 3), "--detach")
    assert done.returncode == 0, done.stderr
    run_id = only_run().info.run_id
    assert done.stdout == f"{run_id}\n"
    assert hints(done.stderr) == {"logs -f", "wait", "cancel"}
    assert all(run_id[:12] in hint for hint in re.findall(r"`(container-backend.*?)`", done.stderr))
    (container,) = containers_of(engine, run_id)
    assert status_of(run_id) == "RUNNING"
    wait_for_readings(workplace)
    let_end(engine, run_id)
    client_of(engine).api.wait(container.id)
    ended = time.monotonic()
    wait_until(lambda: status_of(run_id) == "FAILED")
    wait_until(lambda: containers_of(engine, run_id) == [])
    assert time.monotonic() - ended < SOON_SECONDS
    found = only_run()
    assert found.data.tags[labels_and_tags.TAG_EXIT_CODE] == "3"
    assert kept_log(run_id) == "started\nthe end"
    assert "the end" in found.data.tags["mlflow.note.content"]
    assert [name for name in found.data.metrics if name.startswith("system/")]
    # The supervisor, which started by itself, ends when there is nothing left.
    assert supervisors(workplace)
    wait_until(lambda: not supervisors(workplace), 40)


@pytest.mark.slow
def test_mlflow_detaches_too_and_prints_how_to_follow(script, engine):
    done = run_process("mlflow", "run", waits(script), "-b", "docker", "-c", '{"detach": true}')
    assert done.returncode == 0, done.stderr
    run_id = only_run().info.run_id
    assert hints(done.stderr) == {"logs -f", "wait", "cancel"}
    assert status_of(run_id) == "RUNNING"
    let_end(engine, run_id)
    assert container_backend.attach(run_id).wait()


@pytest.mark.slow
def test_python_detaches_by_the_config_or_by_not_being_synchronous(script, engine):
    began = [
        container_backend.run(waits(script), backend_config={"detach": True}),
        mlflow.projects.run(waits(script), backend="docker", synchronous=False),
    ]
    assert [run.get_status() for run in began] == ["RUNNING", "RUNNING"]
    for run in began:
        let_end(engine, run.run_id)
    assert [run.wait() for run in began] == [True, True]


@pytest.mark.slow
def test_a_command_that_is_killed_loses_nothing(script, engine, workplace):
    """By kill -9, and by a terminal that is closed."""
    folder = waits(script)
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(command("container-backend", "run", folder)) for _ in "ab"]
        for process, number in zip(processes, (signal.SIGKILL, signal.SIGHUP), strict=True):
            assert process.stdout.readline() == "started\n"
            process.send_signal(number)
            assert process.wait(10) == -number
    found = [run.info.run_id for run in runs()]
    assert len(found) == 2
    containers = [containers_of(engine, run_id)[0] for run_id in found]
    wait_for_readings(workplace, 2)
    for run_id, container in zip(found, containers, strict=True):
        let_end(engine, run_id)
        client_of(engine).api.wait(container.id)
    ended = time.monotonic()
    wait_until(lambda: [status_of(run_id) for run_id in found] == ["FINISHED"] * 2)
    assert time.monotonic() - ended < SOON_SECONDS
    wait_until(lambda: all(containers_of(engine, run_id) == [] for run_id in found))
    for run_id in found:
        assert kept_log(run_id) == "started\nthe end"
        metrics = mlflow.get_run(run_id).data.metrics
        assert "system/system_memory_usage_megabytes" in metrics


@pytest.mark.slow
def test_a_supervisor_in_the_foreground_goes_on_until_sigterm(script, workplace):
    with command("container-backend", "supervise") as service:
        assert "watching" in service.stderr.readline()
        run_id = run_process(
            "container-backend", "run", sleeps(script, 0), "-d", check=True
        ).stdout.strip()
        wait_until(lambda: status_of(run_id) == "FINISHED")
        # The service finishes the run: no other supervisor was started.
        assert supervisors(workplace) == []
        wait_until(lambda: f"{run_id}: FINISHED" in service.stderr.readline())
        service.send_signal(signal.SIGTERM)
        assert service.wait(10) == 0
        assert "Traceback" not in service.stderr.read()


def test_a_second_supervisor_until_idle_leaves_the_work_to_the_first(workplace):
    with command("container-backend", "supervise") as first:
        assert "watching" in first.stderr.readline()
        wait_until(lambda: list(Path(workplace, "state").rglob("supervisor.lock")))
        second = run_process("container-backend", "supervise", "--until-idle")
        assert second.returncode == 0
        assert "there is another supervisor" in second.stderr
        os.kill(first.pid, signal.SIGTERM)
        assert first.wait(10) == 0


@pytest.mark.slow
def test_a_supervisor_until_idle_ends_when_all_runs_are_finished(script, engine, workplace):
    run_id = run_process("container-backend", "run", waits(script), "-d", check=True).stdout.strip()
    kill_supervisors(workplace)
    with command("container-backend", "supervise", "--until-idle") as service:
        assert "watching" in service.stderr.readline()
        let_end(engine, run_id)
        said = service.communicate(timeout=120)[1]
    assert service.returncode == 0
    assert f"{run_id}: FINISHED" in said
    assert status_of(run_id) == "FINISHED"
    assert kept_log(run_id) == "started\nthe end"


@pytest.mark.usefixtures("fresh")
@pytest.mark.slow
def test_a_run_without_a_note_ends_although_its_image_took_long(script, engine, workplace):
    """The supervisor that is started first knows of no run, and has ended by then."""
    folder = with_steps(sleeps(script), "final", f"RUN sleep 16 && echo {uuid.uuid4()}")
    state = workplace / "state" / "container-backend"
    state.mkdir(parents=True)
    with tiny_disk(state):
        assert owner_id()
        assert owner_key()
        fill(state)
        run_id = container_backend.run(folder, synchronous=False).run_id
        wait_until(lambda: status_of(run_id) == "FINISHED")
        wait_until(lambda: containers_of(engine, run_id) == [])
    assert kept_log(run_id) == "started\nthe end"
