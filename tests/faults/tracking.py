"""Faults of the way to the store: of the proxy, of the database behind it, of the engine in between."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sqlite3
import threading
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.faults.registry import fault, variants
from tests.faults.stage import PARENT, PATIENCE_SECONDS, Expected
from tests.support.processes import PROXY, processes_named
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import random
    import subprocess
    from collections.abc import Iterator

    import mlflow

    from tests.faults.stage import Stage

_PROGRAM: Final = Path(__file__).with_name("writes.py")
_MLPROJECT: Final = (
    "name: faults\nentry_points: {main: {parameters: {count: {type: float, default: 60}}, "
    "command: 'exec python writes.py {count}'}}\n"
)
_WRITTEN: Final = Expected(output="started\nthe end")


def _use_program(stage: Stage) -> None:
    (stage.folder / "project" / "MLproject").write_text(_MLPROJECT)
    (stage.folder / "project" / "writes.py").write_text(_PROGRAM.read_text())


def _writing(stage: Stage, *arguments: str, config: str = "{}") -> subprocess.Popen[str]:
    """A blocking run whose program has begun to write."""
    _use_program(stage)
    process = stage.begin(*arguments, config=config)
    while (line := process.stdout.readline()) != "started\n":
        assert line, stage.said()
    return process


def check_store(stage: Stage) -> None:
    """All that the last attempt was told is there once, and nothing of the one before after it has begun."""
    children = defaultdict(list)
    for run in stage.all_runs():
        children[run.data.tags.get(PARENT)].append(run)
    for run in stage.runs():
        attempt, count = run.data.tags["attempt"], int(float(run.data.params.get("count", 60)))
        _check_run(stage, run, attempt, count)
        found = {each.data.tags["child"]: each for each in children[run.info.run_id]}
        assert len(found) == len(children[run.info.run_id]), "a child that was made twice"
        mine = {name: child for name, child in found.items() if name.startswith(attempt)}
        assert mine.keys() == {f"{attempt} {step}" for step in range(0, count, 10)}
        for name, child in mine.items():
            assert child.info.status == "FINISHED"
            assert child.data.metrics == {"m": float(name.split()[1])}


def _check_run(stage: Stage, run: mlflow.entities.Run, attempt: str, count: int) -> None:
    run_id = run.info.run_id
    with contextlib.closing(sqlite3.connect(f"file:{stage.file}?mode=ro", uri=True)) as database:
        rows = database.execute(
            "SELECT key, step, value FROM metrics WHERE run_uuid = ? AND key NOT LIKE 'system/%' "
            "ORDER BY rowid",
            [run_id],
        ).fetchall()
    steps = [step for key, step, value in rows if key == attempt and value == step]
    assert steps == list(range(count)), steps
    for each in range(20):
        logged = [step for key, step, _ in rows if key == f"{attempt}.{each}"]
        assert logged == list(range(0, count, 5)), (each, logged)
    order = [key.partition(".")[0] for key, _, _ in rows]
    first = order.index(attempt)
    assert set(order[first:]) == {attempt}, (
        "what an earlier attempt has written after the last began"
    )
    named = {name: value for name, value in run.data.params.items() if name.startswith("p")}
    assert named == {f"p{step}": str(step) for step in range(0, count, 5)}
    for step in range(0, count, 10):
        file = Path(run.info.artifact_uri) / f"{step}.bin"
        assert file.read_bytes() == step.to_bytes(4, "big") * 50_000


tracking_fault = functools.partial(fault, check=check_store)


def _kill_proxy(stage: Stage) -> None:
    found = wait_until(lambda: processes_named(PROXY, stage.folder / "state"))
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _kill_client(process: subprocess.Popen[str], chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 1))
    process.kill()
    process.wait()


@contextlib.contextmanager
def _held(stage: Stage) -> Iterator[None]:
    """The database belongs to another process, which writes."""
    with contextlib.closing(sqlite3.connect(stage.file, timeout=60)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.rollback()


@tracking_fault("tracking proxy killed, again and again", "proxy")
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _writing(stage, "-P", "count=200")
    for _ in range(3):
        time.sleep(chance.uniform(0, 2))
        assert process.poll() is None, stage.said()
        _kill_proxy(stage)
    assert process.wait(PATIENCE_SECONDS) == 0, stage.said()
    return _WRITTEN


@variants(
    "tracking proxy killed:",
    "proxy within a request",
    [
        f"container_backend.{place}:{when}"
        for place in (
            "store.server:StoreServer.call",
            "runs.tracking.serving.program:Program.answer",
            "runs.tracking.serving.repeats:Repeats._note",
            "runs.tracking.serving.control:Control._do",
        )
        for when in ("before", "after")
    ],
    check=check_store,
)
def _(stage: Stage, chance: random.Random, place: str) -> Expected:
    """At the first of these requests, of the command or of the program, whichever it is."""
    mark = stage.kill_in(PROXY, place)
    process = _writing(stage, "-P", f"count={chance.randrange(20, 60)}")
    assert process.wait(PATIENCE_SECONDS) == 0, stage.said()
    assert mark.exists()
    return _WRITTEN


@tracking_fault("client and tracking proxy killed while the program writes", "client and proxy")
def _(stage: Stage, chance: random.Random) -> Expected:
    _kill_client(_writing(stage), chance)
    time.sleep(chance.uniform(0, 0.5))
    _kill_proxy(stage)
    return _WRITTEN


@tracking_fault("client killed while the program writes", "client")
def _(stage: Stage, chance: random.Random) -> Expected:
    _kill_client(_writing(stage), chance)
    return _WRITTEN


@tracking_fault("database held by another process, proxy killed meanwhile", "database held")
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _writing(stage)
    time.sleep(chance.uniform(0, 1))
    with _held(stage):
        time.sleep(chance.uniform(0, 6))
        _kill_proxy(stage)
        time.sleep(chance.uniform(0, 6))
    assert process.wait(PATIENCE_SECONDS) == 0, stage.said()
    return _WRITTEN


@tracking_fault("20 programs write at once, the database held now and then", "many write", runs=20)
def _(stage: Stage, chance: random.Random) -> Expected:
    _use_program(stage)
    script = (
        "import sys, concurrent.futures, container_backend\n"
        "run = lambda _: container_backend.run(sys.argv[1], parameters={'count': 20})\n"
        "with concurrent.futures.ThreadPoolExecutor(20) as pool:\n"
        "    list(pool.map(run, range(20)))\n"
    )
    process = stage.python("-c", script, str(stage.folder / "project"))
    drained = threading.Thread(target=process.stdout.read)
    drained.start()
    while process.poll() is None:
        time.sleep(chance.uniform(0, 3))
        with _held(stage):
            time.sleep(chance.uniform(0, 4))
    drained.join()
    assert process.returncode == 0, stage.said()
    return _WRITTEN


@tracking_fault(
    "engine killed with -9 while the database is held, retries: 1", "engine and proxy",
    engine={"live_restore": False},
)  # fmt: skip
def _(stage: Stage, chance: random.Random) -> Expected:
    """What the first attempt has asked for, and is not answered, must not come after the second has begun."""
    process = _writing(stage, config='{"retries": 1}')
    time.sleep(chance.uniform(0, 1))
    with _held(stage):
        time.sleep(chance.uniform(0, 3))
        stage.own.kill()
        stage.own.start()
        time.sleep(chance.uniform(0, 3))
    assert process.wait(PATIENCE_SECONDS) == 0, stage.said()
    return replace(_WRITTEN, output="started\nstarted\nthe end")


@tracking_fault(
    "tracking proxy killed, whose connections go through the engine", "proxy by the engine",
    engine={"live_restore": False},
)  # fmt: skip
def _(stage: Stage, chance: random.Random) -> Expected:
    process = _writing(stage, "-P", "count=200")
    assert list((stage.folder / "state").glob("container-backend/tracking/*/grants/*.forward"))
    for _ in range(2):
        time.sleep(chance.uniform(0, 2))
        assert process.poll() is None, stage.said()
        _kill_proxy(stage)
    assert process.wait(PATIENCE_SECONDS) == 0, stage.said()
    return _WRITTEN
