"""The faults: each makes something go wrong, and says what the run must say in the end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from container_backend.container.status_and_reason import FAILED, KILLED, RUNNING
from tests.faults.registry import fault, variants
from tests.faults.stage import (
    BEGUN,
    NO_RUN,
    PATIENCE_SECONDS,
    THE_END,
    WHOLE,
    Expected,
    begun,
)
from tests.support.client import client_of
from tests.support.disks import fill, tiny_disk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.stage import Stage

CLIENT: Final = "container-backend"
SUPERVISOR: Final = "container_backend.runs.supervise.process"
FINISHER: Final = "container_backend.runs.supervise.finisher"


def _die_of_fault(stage: Stage, command: str, at: str, *arguments: str, config: str = "{}") -> None:
    mark = stage.kill_in(command, at)
    process = stage.begin(*arguments, config=config)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, stage.said()
    assert mark.exists()


# The client.


def _begun(stage: Stage, *arguments: str, config: str = "{}") -> subprocess.Popen[str]:
    """A blocking run whose program has begun."""
    process = stage.begin(*arguments, config=config)
    while (line := process.stdout.readline()) != "started\n":
        assert line, stage.said()
    return process


@fault("client killed while running", "client")
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage)
    time.sleep(chance.uniform(0, 1.5))
    process.kill()
    process.wait()
    return Expected()


@fault("client killed before there is a run", "client")
def _(stage: Stage, chance: random.Random) -> Expected:
    _die_of_fault(stage, CLIENT, "container_backend.store.run:create_run:before")
    return NO_RUN


@variants(
    "client killed:",
    "client",
    [
        "container_backend.store.run:create_run:after",
        "container_backend.container.create:create_container:before",
        "container_backend.container.create:create_container:after",
        "container_backend.container.create:start_container:before",
    ],
)
def _(stage: Stage, chance: random.Random, place: str) -> Expected:
    since = time.time()
    _die_of_fault(stage, CLIENT, place)
    return Expected(FAILED, "client", None, since=since)


@variants(
    "second client killed while code is shared:",
    "second client",
    [
        "container_backend.container.shared_code:SharedCode._make:before",
        "container_backend.container.shared_code:SharedCode._make:after",
        "container_backend.container.shared_code:SharedCode.find:after",
    ],
    runs=2,
)
def _(stage: Stage, chance: random.Random, place: str) -> Expected:
    since = time.time()
    _die_of_fault(
        stage, CLIENT, "container_backend.container.shared_code:SharedCode.was_sent:after"
    )
    _die_of_fault(stage, CLIENT, place)
    return Expected(FAILED, "client", None, since=since)


@variants(
    "client killed while finishing:",
    "finishing client",
    [
        "container_backend.runs.ending.finish:finish_run:before",
        "container_backend.store.run:RunRecord.finish:before",
        "container_backend.store.run:RunRecord.finish:after",
        "container_backend.runs.ending.finish:_put_away:before",
        "container_backend.runs.ledger.ledger:Entry.remove:before",
    ],
)
def _(stage: Stage, chance: random.Random, place: str) -> Expected:
    _die_of_fault(stage, CLIENT, place)
    return Expected()


@fault("client killed while running; the program fails later", "client")
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage, "-P", "code=3")
    process.kill()
    process.wait()
    return Expected(FAILED, "program", note="exit code 3")


@fault("terminal of the client closed", "client")
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage)
    process.send_signal(signal.SIGHUP)
    assert process.wait(10) == -signal.SIGHUP
    return Expected()


@fault("client and supervisor asleep at the end, as with a laptop", "client and supervisor")
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage)
    asleep = [process.pid, *stage.supervisors()]
    for pid in asleep:
        os.kill(pid, signal.SIGSTOP)
    with stage.engine() as engine:
        client_of(engine).api.wait(stage.containers(engine)[0])
    time.sleep(chance.uniform(0, 3))
    since = time.time()
    for pid in asleep:
        os.kill(pid, signal.SIGCONT)
    assert process.wait(PATIENCE_SECONDS) == 0
    return Expected(since=since)


@fault("client sent SIGTERM", "client")
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage, "-P", "seconds=60")
    time.sleep(chance.uniform(0, 1))
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) != 0
    return Expected(KILLED, "cancelled", BEGUN)


# The supervisor, and what finishes runs for it.


@variants(
    "supervisor killed:",
    "supervisor",
    [
        "container_backend.runs.supervise.supervisor:Supervisor.run:before",
        "container_backend.runs.supervise.supervisor:Supervisor._take_opened:before",
        "container_backend.runs.supervise.supervisor:Supervisor._take_event:before",
        "container_backend.runs.supervise.supervisor:Supervisor._watch:after",
        "container_backend.runs.supervise.caretaker:Caretaker.runs:after",
        "container_backend.runs.output.unattended:LogKeeper.begin:after",
        "container_backend.runs.output.unattended:LogKeeper._read:after",
        "container_backend.engine.container_verbs:Containers.statistics:after",
        "container_backend.container.statistics:append_sample:after",
        "container_backend.runs.supervise.caretaker:Caretaker.ended:before",
        "container_backend.runs.supervise.caretaker:Caretaker.proceed:before",
        "container_backend.runs.supervise.caretaker:Caretaker.submit:after",
        "container_backend.runs.supervise.supervisor:Supervisor._take_answer:before",
        "container_backend.runs.supervise.supervisor:Supervisor._forget:after",
    ],
)
def _(stage: Stage, chance: random.Random, place: str) -> Expected:
    mark = stage.kill_in(SUPERVISOR, place)
    stage.detached()
    wait_until(mark.exists)
    return Expected()


@variants(
    "finishing process killed:",
    "finisher",
    [
        "container_backend.runs.ending.finish:finish_run:before",
        "container_backend.runs.output.collect:collect_output:after",
        "container_backend.store.run:RunRecord.finish:before",
        "container_backend.store.run:RunRecord.finish:after",
        "container_backend.runs.ending.finish:_put_away:before",
        "container_backend.runs.ledger.ledger:Entry.remove:before",
        "container_backend.runs.ledger.ledger:Entry.remove:after",
    ],
)
def _(stage: Stage, chance: random.Random, place: str) -> Expected:
    mark = stage.kill_in(FINISHER, place)
    stage.detached()
    wait_until(mark.exists)
    return Expected()


@fault("supervisor and the shell that restarts it killed, then any command", "supervisor")
def _(stage: Stage, chance: random.Random) -> Expected:
    run_id = stage.detached()
    time.sleep(chance.uniform(0, 2))
    for pid in stage.supervisors():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not stage.supervisors())
    process = stage.command("status", run_id)
    process.communicate(timeout=60)
    assert process.returncode == 0, stage.said()
    return Expected()


@fault("client and supervisor killed at once, by a number, not a group", "client and supervisor")
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage)
    for pid in [process.pid, stage.supervisors()[-1]]:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    return Expected()


@fault("two more supervisors at once", "supervisor")
def _(stage: Stage, chance: random.Random) -> Expected:
    processes = [stage.command("supervise", "--until-idle") for _ in range(2)]
    stage.detached()
    for process in processes:
        assert process.wait(PATIENCE_SECONDS) == 0, stage.said()
    return Expected()


@fault("20 runs of one client at once, the client killed", "many runs", runs=20)
def _(stage: Stage, chance: random.Random) -> Expected:
    script = (
        "import sys, threading, container_backend\n"
        "run = lambda: container_backend.run(sys.argv[1], parameters={'seconds': 5})\n"
        "threads = [threading.Thread(target=run) for _ in range(20)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
    )
    process = stage.python("-c", script, str(stage.folder / "project"))
    begun = 0
    while begun < 20:
        line = process.stdout.readline()
        assert line, stage.said()
        begun += line.endswith("started\n")
    process.kill()
    process.wait()
    return Expected()


@fault("20 runs at once, their client killed", "many runs", runs=20)
def _(stage: Stage, chance: random.Random) -> Expected:
    processes = [stage.begin("-P", "seconds=5") for _ in range(4)]
    for _ in range(4):
        processes += [stage.begin("-P", "seconds=5") for _ in range(4)]
        time.sleep(1)
    for process in processes:
        while (line := process.stdout.readline()) != "started\n":
            assert line, stage.said()
        process.kill()
        process.wait()
    return Expected()


# The engine.

ENGINE: Final = "the engine killed with -9 and started again"
WITHOUT: Final = {"live_restore": False}
WITH: Final = {"live_restore": True}
LOST: Final = Expected(FAILED, "engine", BEGUN, note="engine was restarted")


@fault(f"{ENGINE}, client waiting", "engine killed", engine=WITHOUT)
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage, "-P", "seconds=600")
    time.sleep(chance.uniform(0, 1))
    stage.own.kill()
    time.sleep(chance.uniform(0, 3))
    stage.own.start()
    assert process.wait(PATIENCE_SECONDS) != 0
    return LOST


@fault(f"{ENGINE}, detached", "engine killed", engine=WITHOUT)
def _(stage: Stage, chance: random.Random) -> Expected:
    stage.detached("-P", "seconds=600")
    stage.container()
    stage.own.kill()
    time.sleep(chance.uniform(0, 3))
    stage.own.start()
    return LOST


@fault(
    "the engine and its containers killed at once (power), client waiting",
    "engine killed",
    engine=WITHOUT,
)
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage, "-P", "seconds=600")
    stage.own.lose_power()
    time.sleep(chance.uniform(0, 3))
    stage.own.start()
    assert process.wait(PATIENCE_SECONDS) != 0
    return replace(LOST, note="exit code 255")


@fault(
    "the engine ended and started again (upgrade, reboot), client waiting",
    "engine ended",
    engine=WITHOUT,
)
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage, "-P", "seconds=600")
    stage.own.stop()
    time.sleep(chance.uniform(0, 3))
    stage.own.start()
    assert process.wait(PATIENCE_SECONDS) != 0
    return LOST


@fault(
    "the engine ended and started again (upgrade, reboot), detached", "engine ended", engine=WITHOUT
)
def _(stage: Stage, chance: random.Random) -> Expected:
    stage.detached("-P", "seconds=600")
    stage.container()
    stage.own.stop()
    time.sleep(chance.uniform(0, 3))
    stage.own.start()
    return LOST


@fault(f"{ENGINE}, with live-restore, client waiting", "engine with live-restore", engine=WITH)
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage, "-P", "seconds=30")
    stage.own.kill()
    time.sleep(chance.uniform(0, 2))
    stage.own.start()
    assert process.wait(PATIENCE_SECONDS) == 0
    return Expected()


@fault(
    f"{ENGINE}, with live-restore, before it has logged all that was shown",
    "engine with live-restore",
    engine=WITH,
)
def _(stage: Stage, chance: random.Random) -> Expected:
    many = 30_000
    process = _begun(stage, "-P", "seconds=30", "-P", f"lines={many}")
    stage.own.kill()
    time.sleep(chance.uniform(0, 2))
    stage.own.start()
    assert process.wait(PATIENCE_SECONDS) == 0
    return Expected(output=begun(many) + THE_END)


@fault(f"{ENGINE}, with live-restore, detached", "engine with live-restore", engine=WITH)
def _(stage: Stage, chance: random.Random) -> Expected:
    stage.detached("-P", "seconds=30")
    stage.container()
    stage.own.kill()
    time.sleep(chance.uniform(0, 2))
    stage.own.start()
    return Expected()


@fault(
    "the engine away with live-restore while the program ends",
    "engine with live-restore",
    engine=WITH,
)
def _(stage: Stage, chance: random.Random) -> Expected:
    stage.detached("-P", "seconds=2", "-P", "code=4")
    stage.container()
    stage.own.kill()
    time.sleep(4)
    stage.own.start()
    since = time.time()
    # What is written while there is no engine is lost by the engine.
    return Expected(FAILED, "program", BEGUN, note="exit code 4", since=since)


@fault("the engine killed, retries: 1", "engine killed", engine=WITHOUT)
def _(stage: Stage, chance: random.Random) -> Expected:
    # Longer than an engine takes to come back: a program that ends meanwhile is not tried again.
    stage.detached("-P", "seconds=30", config='{"retries": 1}')
    stage.container()
    stage.own.kill()
    stage.own.start()
    return Expected(output=BEGUN + WHOLE)


# The tracking server.


@fault("tracking server away at the end, client killed", "server", server=True)
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage)
    process.kill()
    process.wait()
    with stage.server.away():
        time.sleep(5)
    return Expected(since=time.time())


@fault(
    "tracking server away from before the end until 60 s later, client waiting",
    "server",
    server=True,
)
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage, "-P", "seconds=5")
    wait_until(lambda: stage.runs()[0].info.status == RUNNING)
    time.sleep(chance.uniform(0, 3))
    with stage.server.away():
        time.sleep(60)
    since = time.time()
    process.wait(PATIENCE_SECONDS)
    return Expected(since=since)


@fault("tracking server away from before the end until 60 s later, detached", "server", server=True)
def _(stage: Stage, chance: random.Random) -> Expected:
    stage.detached("-P", "seconds=5")
    time.sleep(chance.uniform(0, 3))
    with stage.server.away():
        time.sleep(60)
    return Expected(since=time.time())


# Disks.


@fault("disk full where the output is spooled, client waiting", "disk")
def _(stage: Stage, chance: random.Random) -> Expected:
    with _full_state(stage):
        process = _begun(stage)
        assert process.wait(PATIENCE_SECONDS) == 0
        stage.wait_until_quiet()
    return Expected()


@fault("disk full where the output is spooled, detached", "disk")
def _(stage: Stage, chance: random.Random) -> Expected:
    with _full_state(stage):
        stage.detached()
        stage.wait_for_status()
        stage.wait_until_quiet()
    return Expected()


@fault("disk full everywhere but in the stores, client killed; later there is room", "disk")
def _(stage: Stage, chance: random.Random) -> Expected:
    temporary = stage.folder / "tmp"
    # Enough for what is written down of the run, not for its output.
    with _full_state(stage) as state_folder, tiny_disk(temporary, "64k"):
        process = _begun(stage)
        process.kill()
        process.wait()
        stage.wait_for_status()
        assert "No space left on device" in stage.description()
        time.sleep(chance.uniform(0, 3))
        with stage.engine() as engine:
            assert len(stage.containers(engine)) == 1  # what it has written is nowhere else
        since = time.time()
        subprocess.run(["mount", "-o", "remount,size=8m", state_folder], check=True)
        stage.wait_until_quiet()
        assert "No space left on device" not in stage.description()
    return Expected(since=since)


@contextlib.contextmanager
def _full_state(stage: Stage) -> Iterator[Path]:
    """No room for notes and output; it is known who the user is. Gives the folder."""
    folder = stage.folder / "state" / "container-backend"
    folder.mkdir(exist_ok=True)
    with tiny_disk(folder):
        assert stage.owner
        fill(folder)
        yield folder


# The container.


@fault("container killed from outside, client waiting", "container killed")
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage, "-P", "seconds=600")
    with stage.engine() as engine:
        client_of(engine).api.kill(stage.container())
    assert process.wait(PATIENCE_SECONDS) != 0
    return Expected(FAILED, "killed", BEGUN, note="killed from outside")


@fault("container killed from outside, detached", "container killed")
def _(stage: Stage, chance: random.Random) -> Expected:
    stage.detached("-P", "seconds=600")
    with stage.engine() as engine:
        client_of(engine).api.kill(stage.container())
    return Expected(FAILED, "killed", BEGUN, note="killed from outside")


@fault("container paused for a while", "container paused")
def _(stage: Stage, chance: random.Random) -> Expected:
    stage.detached()
    with stage.engine() as engine:
        container = stage.container()
        client_of(engine).api.pause(container)
        time.sleep(chance.uniform(2, 4))
        assert [run.info.status for run in stage.runs()] == [RUNNING]
        client_of(engine).api.unpause(container)
    return Expected()


@fault("container paused, and cancelled", "container paused")
def _(stage: Stage, chance: random.Random) -> Expected:
    run_id = stage.detached("-P", "seconds=600")
    with stage.engine() as engine:
        client_of(engine).api.pause(stage.container())
    process = stage.command("cancel", "--grace", "1", run_id)
    assert process.wait(PATIENCE_SECONDS) == 0, stage.said()
    return Expected(KILLED, "cancelled", BEGUN)


@fault("container removed from outside, client waiting", "container removed")
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _begun(stage, "-P", "seconds=600")
    with stage.engine() as engine:
        container, since = stage.container(), time.time()
        client_of(engine).api.remove_container(container, force=True)
    assert process.wait(PATIENCE_SECONDS) != 0
    return Expected(FAILED, "removed", BEGUN, note="removed from outside", since=since)


@fault("container removed from outside, detached", "container removed")
def _(stage: Stage, chance: random.Random) -> Expected:
    stage.detached("-P", "seconds=600")
    container = stage.container()
    time.sleep(4)
    since = time.time()
    with stage.engine() as engine:
        client_of(engine).api.remove_container(container, force=True)
    return Expected(FAILED, "removed", BEGUN, note="removed from outside", since=since)


# Clocks.


@contextlib.contextmanager
def _clock(stage: Stage, offset: str) -> Iterator[Callable[[], None]]:
    """The clock of the client and of the supervisor; the engine's stays."""
    file = stage.folder / "clock"
    file.write_text("+0")
    stage.environ = {
        **stage.environ,
        "LD_PRELOAD": _faketime(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    yield lambda: file.write_text(offset)


def _faketime() -> str:
    """The library that has other clocks: https://github.com/wolfcw/libfaketime."""
    files = subprocess.run(
        ["dpkg", "-L", "libfaketime"], capture_output=True, text=True, check=True
    )
    return next(file for file in files.stdout.split() if file.endswith("/libfaketimeMT.so.1"))


@fault("clock jumps an hour ahead, client waiting, timeout of a minute", "clock")
def _(stage: Stage, chance: random.Random) -> Expected:
    with _clock(stage, "+3600") as jump:
        process = _begun(stage, config='{"timeout": 60}')
        jump()
        assert process.wait(PATIENCE_SECONDS) == 0, stage.said()
    return Expected()


@fault("clock jumps an hour ahead, detached, timeout of a minute", "clock")
def _(stage: Stage, chance: random.Random) -> Expected:
    with _clock(stage, "+3600") as jump:
        stage.detached(config='{"timeout": 60}')
        jump()
    return Expected()


@fault("clock jumps an hour back, detached, timeout of 3 s", "clock")
def _(stage: Stage, chance: random.Random) -> Expected:
    with _clock(stage, "-3600") as jump:
        stage.detached("-P", "seconds=600", config='{"timeout": 3}')
        jump()
    return Expected(FAILED, "timeout", BEGUN, note="longer than its timeout")


# Many.


@fault("50 cancels at once", "many cancels")
def _(stage: Stage, chance: random.Random) -> Expected:
    run_id = stage.detached("-P", "seconds=600")
    stage.container()
    script = (
        "import sys, threading, container_backend\n"
        "runs = [container_backend.attach(sys.argv[1]) for _ in range(50)]\n"
        "threads = [threading.Thread(target=run.cancel) for run in runs]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "assert all(run.get_status() == 'KILLED' for run in runs)\n"
    )
    process = stage.python("-c", script, run_id)
    assert process.wait(PATIENCE_SECONDS) == 0, stage.said()
    return Expected(KILLED, "cancelled", BEGUN)


@fault("50 cancels at once, by 5 commands and 45 threads, and two supervisors", "many cancels")
def _(stage: Stage, chance: random.Random) -> Expected:
    others = [stage.command("supervise", "--until-idle") for _ in range(2)]
    run_id = stage.detached("-P", "seconds=600")
    stage.container()
    script = (
        "import sys, threading, container_backend\n"
        "run = container_backend.attach(sys.argv[1])\n"
        "threads = [threading.Thread(target=run.cancel) for _ in range(45)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
    )
    processes = [stage.command("cancel", run_id) for _ in range(5)]
    processes.append(stage.python("-c", script, run_id))
    for process in [*processes, *others]:
        assert process.wait(PATIENCE_SECONDS) == 0, stage.said()
    return Expected(KILLED, "cancelled", BEGUN)
