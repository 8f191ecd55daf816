"""The whole output of a run, among its artifacts."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import mlflow
import pytest

import container_backend
from container_backend.container.following import inspect_container
from container_backend.engine import find_host
from container_backend.runs.ending.course import Seen
from container_backend.runs.ledger.ledger import ledger_of
from container_backend.runs.supervise.finisher import PROGRESS, Job, _Finisher
from container_backend.runs.supervise.supervisor import Supervisor
from container_backend.runs.supervise.watched import Watched
from tests.support.client import client_of
from tests.support.commands import run_command, run_process
from tests.support.on_engine import containers_of
from tests.support.processes import kill_supervisors
from tests.support.runs import (
    UNTIL_TOLD,
    WAITED_OR_DETACHED,
    kept_log,
    let_end,
    only_run,
    output_of,
    status_of,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_state")

MANY = 200_000
# As fast as it can, on both streams, and no newline at the end.
FAST = f"""
    import os, sys
    lines = ["line %06d" % number for number in range({MANY})]
    sys.stdout.write("\\n".join(lines))
    sys.stdout.flush()
    os.write(2, b"the end of the other, without newline")
"""


@pytest.mark.parametrize("detach", WAITED_OR_DETACHED)
def test_all_lines_of_a_fast_program_are_kept_to_the_last_one(script, engine, detach, capfd):
    keep = "always" if detach else "never"
    run = container_backend.run(script(FAST), backend_config={"detach": detach, "keep": keep})
    assert run.wait()
    whole = "\n".join(f"line {number:06}" for number in range(MANY))
    other = "the end of the other, without newline"
    kept = kept_log(run.run_id)
    assert other in kept
    assert kept.replace(other, "") == whole
    if not detach:
        shown = capfd.readouterr()
        assert shown.out == whole
        assert other in shown.err
    tail = run_command("container-backend", "logs", run.run_id, "--tail", "2").stdout
    assert tail.splitlines()[-1].startswith("line 199999")
    # From the artifact, and from the container that was kept.
    words = [str(Path(sys.executable).with_name("container-backend")), run.run_id]
    head = subprocess.run(
        ["sh", "-c", '"$0" logs "$1" | head -1', *words], capture_output=True, text=True, check=True
    )
    assert (head.stdout, head.stderr) == ("line 000000\n", "")
    for each in containers_of(engine, run.run_id):
        each.remove(force=True)


SECRETS = f"""
    import os, sys, time
    for name in ("MY_TOKEN", "DATABASE"):
        value = os.environ[name]
        print(name, "=", value, flush=True)
        sys.stdout.write(value[:9])
        sys.stdout.flush()
        time.sleep(0.3)
        print(value[9:], flush=True)
    print("started", flush=True)
    {UNTIL_TOLD}
    sys.exit("failed with " + os.environ["MY_TOKEN"])
"""


def test_secrets_that_were_handed_in_are_masked_wherever_the_output_is_seen(script, engine):
    """In the artifact, in what `logs` shows of a run that goes on, in error and description."""
    folder = script(SECRETS, command="exec python main.py")
    arguments = {"env": ["MY_TOKEN=very-s3cret-token", "DATABASE=db://me:pa55word@host/x"]}
    run = container_backend.run(folder, docker_args=arguments, backend_config={"detach": True})
    wait_until(lambda: "started" in output_of(run))
    live = run_command("container-backend", "logs", run.run_id, check=True).stdout
    let_end(engine, run.run_id)
    with pytest.raises(container_backend.RunFailed) as caught:
        run.result()
    found = only_run()
    for said in (
        live,
        output_of(run),
        kept_log(run.run_id),
        str(caught.value),
        str(found.data.tags),
        str(found.data.params),
    ):
        assert "s3cret" not in said
        assert "pa55word" not in said
    masked = "MY_TOKEN = ***\n***\nDATABASE = db://me:***@host/x\ndb://me:***@host/x\nstarted\n"
    assert live == masked
    assert kept_log(run.run_id) == f"{masked}failed with ***\n"
    assert caught.value.last_lines[-1] == "failed with ***"


TALKS = """
    import signal, sys
    print("started", flush=True)
    signal.signal(signal.SIGUSR1, lambda *_: print("more", flush=True))
    signal.signal(signal.SIGUSR2, lambda *_: sys.exit(0))
    while True:
        signal.pause()
"""


@pytest.mark.slow
def test_of_a_long_run_there_is_something_from_time_to_time(script, engine):
    """What the supervisor hands out after a minute, handed out at once; twice, to the end."""
    run = container_backend.run(
        script(TALKS, command="exec python main.py"), backend_config={"detach": True}
    )
    wait_until(lambda: "started" in output_of(run))
    (container,) = containers_of(engine, run.run_id)
    found = inspect_container(engine, container.id)
    ledger = ledger_of(find_host())
    finisher = _Finisher(ledger, mlflow.get_tracking_uri())
    job = Job(PROGRESS, found.submission, run.run_id, container=found)
    metrics = ledger.entry(found.submission).folder / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") >= 2)
    assert finisher.do(job) == ("done", "")
    assert kept_log(run.run_id) == "started\n"
    assert "system/cpu_utilization_percentage" in only_run().data.metrics
    assert status_of(run.run_id) == "RUNNING"
    client_of(engine).api.kill(container.id, "SIGUSR1")
    wait_until(lambda: "more" in output_of(run))
    assert finisher.do(job) == ("done", "")
    assert kept_log(run.run_id) == "started\nmore\n"
    assert list(metrics.parent.rglob("container.log")) == []
    client_of(engine).api.kill(container.id, "SIGUSR2")
    assert run.wait()
    assert kept_log(run.run_id) == "started\nmore\n"


@pytest.mark.slow
def test_the_supervisor_hands_out_what_is_due_of_a_run_that_goes_on(script, workplace):
    """In this process, where its first minute is made to be over."""
    run = container_backend.run(
        script(TALKS, command="exec python main.py"), backend_config={"detach": True}
    )
    kill_supervisors(workplace)
    supervisor = Supervisor(find_host(), ledger_of(find_host()))
    thread = threading.Thread(target=supervisor.run, daemon=True)
    thread.start()
    wait_until(lambda: _watched(supervisor).progress_due < math.inf)
    _watched(supervisor).progress_due = 0.0
    wait_until(lambda: _has_log(run.run_id))
    assert _watched(supervisor).progress_pause == 120
    assert status_of(run.run_id) == "RUNNING"
    run.cancel(grace=0)
    assert status_of(run.run_id) == "KILLED"
    thread.join(60)
    assert not thread.is_alive()


def _watched(supervisor: Supervisor) -> Watched:
    return next(iter(supervisor._watched.values()), Watched("none", "", Seen("none")))


def _has_log(run_id: str) -> bool:
    found = mlflow.MlflowClient().list_artifacts(run_id, "logs")
    return [each.path for each in found] == ["logs/container.log"]


@pytest.mark.slow
def test_a_store_of_artifacts_that_is_away_for_a_while_gets_everything_later(
    script, engine, workplace
):
    """The status is there at once; the container, with the output, stays until it is kept."""
    artifacts = workplace / "mine"
    experiment = mlflow.create_experiment("mine", artifacts.as_uri())
    run = container_backend.run(
        script(f"import os, time\n{UNTIL_TOLD}\nprint('the end', end='')"),
        experiment_id=experiment,
        backend_config={"detach": True},
    )
    shutil.rmtree(artifacts, ignore_errors=True)
    artifacts.write_text("in the way")
    let_end(engine, run.run_id)
    wait_until(lambda: status_of(run.run_id) == "FINISHED")
    wait_until(lambda: "again in 30 s" in _supervisor_log(workplace))
    assert len(containers_of(engine, run.run_id)) == 1
    artifacts.unlink()
    # Its next try is in half a minute; that of one that begins anew, with any command, is now.
    kill_supervisors(workplace)
    run_command("container-backend", "ps", check=True)
    wait_until(lambda: containers_of(engine, run.run_id) == [])
    assert kept_log(run.run_id) == "the end"


def _supervisor_log(workplace: Path) -> str:
    return "".join(log.read_text() for log in (workplace / "state").rglob("supervisor.log"))


def test_a_state_folder_that_cannot_be_used_loses_nothing_of_a_run_that_is_waited_for(
    script, engine, monkeypatch, tmp_path
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    done = run_command("container-backend", "run", script("print('the end', end='')"))
    assert (done.returncode, done.stdout) == (0, "the end"), done.stderr
    assert done.stderr.count("No supervisor could be started") == 1
    assert "Set XDG_STATE_HOME" in done.stderr
    assert "it is tried again" not in done.stderr
    assert kept_log(only_run().info.run_id) == "the end"
    assert containers_of(engine, only_run().info.run_id) == []
    refused = run_process("container-backend", "supervise")
    assert refused.returncode == 1
    assert "The supervisor cannot keep anything: Not a directory" in refused.stderr
