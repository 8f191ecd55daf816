"""Runs that were started before: found, shown, waited for, cancelled, from here and from elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from typing import TYPE_CHECKING

import mlflow
import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.container.following import inspect_container
from container_backend.container.status_and_reason import Ending
from container_backend.runs.ending.finish import finish_run
from container_backend.runs.ledger import signed
from container_backend.runs.ledger.ledger import Ledger
from container_backend.store import MlflowStore
from tests.support.client import client_of
from tests.support.commands import command, run_command, run_process
from tests.support.engines import OwnEngine
from tests.support.forwarding import forward
from tests.support.on_engine import containers_of
from tests.support.processes import kill_supervisors
from tests.support.runs import UNTIL_TOLD, kept_log, let_end, only_run, output_of, status_of
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import Engine

# Writes a line whenever it is told to by a signal, ends as it is told to by another one.
TALKS = """
    import signal, sys, time
    count = 0
    def say(*_):
        global count
        count += 1
        print("line", count, flush=True)
    def end(*_):
        print("the end", end="", flush=True)
        sys.exit(3)
    signal.signal(signal.SIGUSR1, say)
    signal.signal(signal.SIGUSR2, end)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("started", flush=True)
    while True:
        time.sleep(60)
"""
TALKING = "exec python main.py"


def ours(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    return run_command("container-backend", *arguments, **more)


def detached(folder: str, config: str = "{}") -> str:
    # A process: its client is gone.
    arguments = ("run", folder, "-d", "-c", config)
    run_id = run_process("container-backend", *arguments, check=True).stdout.strip()
    wait_until(lambda: "started" in output_of(container_backend.attach(run_id)))
    return run_id


def listed(run_id: str, *options: str) -> dict[str, object] | None:
    found = json.loads(ours("ps", "--json", *options, check=True).stdout)
    return next((each for each in found if each["run_id"] == run_id), None)


def line_of(run_id: str, *options: str) -> str:
    lines = ours("ps", *options, check=True).stdout.splitlines()
    return next((line for line in lines if line.startswith(run_id[:12])), "")


def tell(engine: Engine, run_id: str, number: str) -> None:
    client_of(engine).api.kill(containers_of(engine, run_id)[0].id, number)


def test_a_run_is_listed_shown_and_read_while_it_goes_on_and_after_its_end(script, engine):
    run_id = detached(script(TALKS, command=TALKING), '{"keep": "on-failure"}')
    check_going_on(run_id)
    check_paused(engine, run_id)
    with command("container-backend", "logs", "-f", run_id[:12]) as following:
        check_output(engine, run_id, following)
        words = ("container-backend", "logs", "--follow", "--tail", "1", run_id)
        with (
            command(*words) as from_last,
            command("container-backend", "wait", run_id) as waiting,
        ):
            assert from_last.stdout.readline() == "line 2\n"
            tell(engine, run_id, "SIGUSR2")
            assert from_last.wait(60) == 0
            assert from_last.stdout.read() == "the end"
            assert waiting.wait(60) == 1
            said = waiting.stderr.read()
        assert following.wait(60) == 0
        assert following.stdout.read() == "the end"
    assert "the program ended with exit code 3" in said
    check_kept(run_id)
    client_of(engine).api.remove_container(containers_of(engine, run_id)[0].id)
    check_without_a_container(run_id)


def check_going_on(run_id: str) -> None:
    found = listed(run_id)
    assert (found["project"], found["entry_point"], found["state"]) == ("test", "main", "running")
    assert found["experiment"] == "Default"
    assert found["image"] == only_run().data.tags[labels_and_tags.TAG_IMAGE]
    assert 0 < found["seconds"] < 60
    assert found["cpu_percent"] >= 0
    assert found["memory_bytes"] > 1_000_000
    line = line_of(run_id)
    for text in ("Default", "test", "main", found["image"], "running", " %", " MB"):
        assert text in line
    told = json.loads(ours("status", run_id[:8], "--json", check=True).stdout)
    assert (told["run_id"], told["status"], told["state"]) == (run_id, "RUNNING", "running")
    assert told["exit_code"] is None


def check_paused(engine: Engine, run_id: str) -> None:
    container = containers_of(engine, run_id)[0].id
    client_of(engine).api.pause(container)
    assert listed(run_id)["state"] == "paused"
    assert "  paused  " in line_of(run_id)
    assert ours("logs", run_id, check=True).stdout == "started\n"
    client_of(engine).api.unpause(container)


def check_output(engine: Engine, run_id: str, following: subprocess.Popen[str]) -> None:
    assert following.stdout.readline() == "started\n"
    tell(engine, run_id, "SIGUSR1")
    assert following.stdout.readline() == "line 1\n"
    # Times are given in whole seconds: the next line is written in the one after the next.
    moment = int(time.time()) + 1
    wait_until(lambda: time.time() >= moment)
    tell(engine, run_id, "SIGUSR1")
    assert following.stdout.readline() == "line 2\n"
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    assert ours("logs", run_id, "--since", since).stdout == "line 2\n"
    assert ours("logs", run_id, "--tail", "1").stdout == "line 2\n"
    assert ours("logs", run_id, "--since", "1h", "--tail", "9").stdout.count("\n") == 3


WHOLE = "started\nline 1\nline 2\nthe end"


def check_kept(run_id: str) -> None:
    assert listed(run_id) is None
    wait_until(lambda: listed(run_id, "-a")["state"] == "kept")
    assert listed(run_id, "--all")["exit_code"] == 3
    assert "kept (3)" in line_of(run_id, "-a")
    assert ours("logs", run_id).stdout == WHOLE
    shown = ours("status", run_id, check=True).stdout
    assert "FAILED" in shown
    assert "the program ended with exit code 3" in shown
    assert run_id in shown


def check_without_a_container(run_id: str) -> None:
    assert ours("logs", run_id[:10], "-f").stdout == WHOLE
    assert ours("logs", run_id, "--tail", "2").stdout == "line 2\nthe end"
    assert "its kept output has no times" in ours("logs", run_id, "--since", "1m").stderr
    waited = ours("wait", run_id)
    assert waited.returncode == 1
    assert "the program ended with exit code 3" in waited.stderr
    assert json.loads(ours("status", run_id, "--json").stdout)["exit_code"] == 3
    again = ours("cancel", run_id)
    assert (again.returncode, again.stderr) == (0, f"Run {run_id} had ended already: FAILED.\n")
    assert status_of(run_id) == "FAILED"
    run = container_backend.attach(run_id[:12])
    assert (run.run_id, run.get_status(), run.wait()) == (run_id, "FAILED", False)
    assert output_of(run) == WHOLE
    with pytest.raises(container_backend.RunFailed) as caught:
        run.result()
    assert caught.value.last_lines[-1] == "the end"


@pytest.mark.slow
def test_cancel_has_a_grace_of_its_own_and_wait_says_so(script, engine):
    run_id = detached(script(TALKS, command=TALKING), '{"grace": 300}')
    with command("container-backend", "wait", run_id) as waiting:
        container = containers_of(engine, run_id)[0].id
        began = time.monotonic()
        with command("container-backend", "cancel", run_id[:10], "--grace", "3") as cancelling:
            wait_until(lambda: (found := listed(run_id)) and found["state"] == "stopping")
            assert cancelling.wait(60) == 0
            assert cancelling.stderr.read() == f"Run {run_id}: KILLED.\n"
        assert 3 <= time.monotonic() - began < 60
        assert waiting.wait(60) == 130
        assert f"Run (ID '{run_id}') was killed: cancelled" in waiting.stderr.read()
    tags = only_run().data.tags
    assert (tags[labels_and_tags.TAG_CAUSE], tags[labels_and_tags.TAG_EXIT_CODE]) == (
        "cancelled",
        "137",
    )
    wait_until(lambda: containers_of(engine, run_id) == [])
    assert container not in str(client_of(engine).api.containers(all=True))


def test_a_run_is_found_by_the_beginning_of_its_id(script, engine, tmp_path):
    """Containers that only look like runs: two whose ids begin alike."""
    mlflow.search_experiments()  # there is a store
    image = container_backend.build(script("pass"))
    ids = ["fffffffffffffffffffffffffffffff" + last for last in "01"]
    labels = {labels_and_tags.LABEL_TRACKING_URI: f"sqlite:///{tmp_path}/another machine/mlflow.db"}
    made = [
        client_of(engine).api.create_container(
            image, ["true"], labels=signed({**labels, labels_and_tags.LABEL_RUN_ID: run_id})
        )
        for run_id in ids
    ]
    try:
        several = ours("status", "ffff")
        assert several.returncode == 2
        assert f"2 runs begin with 'ffff': {ids[0]}, {ids[1]}." in several.stderr
        assert "Give more of its id." in several.stderr
        for name in ("status", "logs", "wait", "cancel"):
            unknown = ours(name, "eeee")
            assert unknown.returncode == 2, name
            assert "There is no run 'eeee', neither on the engine nor in the" in unknown.stderr
            assert "container-backend ps -a" in unknown.stderr
            assert "Traceback" not in unknown.stderr
        for name in ("status", "wait"):
            away = ours(name, ids[0])
            assert away.returncode == 4, name
            assert "another machine/mlflow.db' is not on this machine" in away.stderr
        assert not (tmp_path / "another machine").exists()
        wrong = ours("logs", "my-run")
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "'my-run' is not the id of a run, nor the beginning of one." in wrong.stderr
        with pytest.raises(container_backend.InvalidInput, match="2 runs begin with"):
            container_backend.attach("fff")
        with pytest.raises(container_backend.InvalidInput, match="There is no run"):
            container_backend.attach("e" * 32)
    finally:
        for each in made:
            client_of(engine).api.remove_container(each["Id"])


@pytest.mark.slow
def test_that_nothing_is_going_on_is_said(monkeypatch):
    with OwnEngine() as own:
        monkeypatch.setenv("DOCKER_HOST", own.host)
        listed = ours("ps", check=True)
        assert (listed.stdout, listed.stderr) == ("", "No run is active.\n")
        assert ours("ps", "--json", check=True).stdout == "[]\n"


def test_an_engine_that_is_away_is_said_by_every_command(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/engine.sock")
    for words in (["ps"], ["status", "ab"], ["logs", "ab"], ["wait", "ab"], ["cancel", "ab"]):
        away = ours(*words)
        assert away.returncode == 3, words
        assert "No Docker engine answers at unix:///no/such/engine.sock" in away.stderr
        assert "Traceback" not in away.stderr


def test_a_store_that_is_away_is_said_soon(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    began = time.monotonic()
    away = ours("status", "abcd")
    assert away.returncode == 4
    assert "The tracking store does not answer at http://127.0.0.1:1." in away.stderr
    assert time.monotonic() - began < 30


@pytest.fixture
def elsewhere(tmp_path, engine) -> Iterator[dict[str, str]]:
    """Another machine's environment: no state of ours, the engine at another address."""
    with forward(engine.host.url.removeprefix("unix://")) as port:
        yield {
            **os.environ,
            "XDG_STATE_HOME": str(tmp_path / "other state"),
            "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
        }


@pytest.mark.slow
def test_another_machine_follows_and_cancels_a_run(script, engine, elsewhere):
    run_id = detached(script(TALKS, command=TALKING))
    assert run_id[:12] in ours("ps", env=elsewhere, check=True).stdout
    assert "RUNNING" in ours("status", run_id[:6], env=elsewhere, check=True).stdout
    assert ours("logs", run_id, env=elsewhere, check=True).stdout == "started\n"
    done = ours("cancel", run_id, "--grace", "0", env=elsewhere)
    assert (done.returncode, done.stderr) == (0, f"Run {run_id}: KILLED.\n")
    assert ours("wait", run_id, env=elsewhere).returncode == 130
    assert kept_log(run_id) == "started\n"


ENDS = f"""
    import os, time
    print("started", flush=True)
    {UNTIL_TOLD}
    print("the end", end="", flush=True)
"""


@pytest.mark.usefixtures("own_state")
@pytest.mark.slow
def test_a_run_whose_machine_is_gone_is_finished_by_who_waits_for_it_elsewhere(
    script, engine, elsewhere, workplace
):
    """Twice at once: both wait, one writes it down, and each says the same."""
    run_id = detached(script(ENDS, command=TALKING))
    kill_supervisors(workplace)
    words = ("container-backend", "wait", run_id)
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(command(*words, env=elsewhere)) for _ in range(2)]
        let_end(engine, run_id)
        ends = [process.communicate(timeout=90) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    wait_until(lambda: containers_of(engine, run_id) == [])
    assert status_of(run_id) == "FINISHED"
    assert kept_log(run_id) == "started\nthe end"


FINISHES = """
import sys
from pathlib import Path
from container_backend.container.status_and_reason import Ending
from container_backend.engine import connect
from container_backend.container.following import inspect_container as inspect
from container_backend.runs.ending.finish import finish_run as finish
from container_backend.runs.ledger.ledger import Ledger
from container_backend.store import MlflowStore, default_address
run_id, container, folder = sys.argv[1:]
engine = connect()
found = inspect(engine, container)
print("ready", flush=True)
sys.stdin.readline()
store = MlflowStore(default_address())
done = finish(Ending(run_id, found), engine, store, Ledger(Path(folder)).entry("0" * 32))
print(done.outcome.status, done.outcome.reason, flush=True)
"""


def test_who_comes_late_to_finish_a_run_does_not_take_its_output(script, engine, tmp_path):
    """The container was seen before another process finished the run, and removed it."""
    run = container_backend.run(
        script("print('the end', end='')"), backend_config={"keep": "always"}
    )
    (container,) = containers_of(engine, run.run_id)
    ending = Ending(run.run_id, inspect_container(engine, container.id))
    container.remove()
    before = only_run()
    done = finish_run(
        ending, engine, MlflowStore(mlflow.get_tracking_uri()), Ledger(tmp_path).entry("0" * 32)
    )
    assert done.outcome.status == "FINISHED"
    assert kept_log(run.run_id) == "the end"
    after = only_run()
    assert (after.info.end_time, after.data.tags) == (before.info.end_time, before.data.tags)


@pytest.mark.slow
def test_a_run_that_is_finished_twice_at_once_and_again_stays_as_it_was(script, engine, tmp_path):
    with pytest.raises(container_backend.RunFailed):
        container_backend.run(
            script("print('the end', end=''); raise SystemExit(3)"),
            backend_config={"keep": "always"},
        )
    before = only_run()
    run_id = before.info.run_id
    (container,) = containers_of(engine, run_id)
    words = (run_id, container.id)
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                command(
                    "python", "-c", FINISHES, *words, str(tmp_path / name), stdin=subprocess.PIPE
                )
            )
            for name in ("one", "two")
        ]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("now\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60) for process in processes]
    assert [out for out, _ in said] == ["FAILED the program ended with exit code 3\n"] * 2, said
    after = mlflow.get_run(run_id)
    assert after.info.status == before.info.status
    assert after.info.end_time == before.info.end_time
    assert after.data.tags == before.data.tags
    assert after.data.metrics == before.data.metrics
    assert kept_log(run_id) == "the end"
    assert [each.name for each in containers_of(engine, run_id)] == [f"mlflow-run-{run_id}.kept"]
    client_of(engine).api.remove_container(container.id)
