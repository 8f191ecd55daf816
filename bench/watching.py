"""Looking after runs: the supervisor, and their output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import container_backend
from bench import peers
from bench.measure import Figure, Ratio, Sample, one
from container_backend.machine.locks import state_folder
from container_backend.runs.ledger.ledger import ledger_of
from tests.support.client import client_of
from tests.support.processes import PROXY, SUPERVISOR, processes_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import Engine
    from container_backend.runs.handle import ContainerRun

MEGABYTE = 1_000_000
_GIGABYTE_OF_LINES = "yes 'a line of fifty characters, as programs write them.' | head -c {bytes}"


@contextmanager
def own_state() -> Iterator[Path]:
    """A supervisor and a store of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        before = dict(os.environ)
        os.environ["XDG_STATE_HOME"] = f"{temporary}/state"
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{temporary}/mlflow.db"
        try:
            yield Path(temporary)
        finally:
            os.environ.clear()
            os.environ.update(before)


def _project(folder: Path, command: str) -> str:
    root = folder / "project"
    root.mkdir()
    (root / "MLproject").write_text(
        f"name: bench\nentry_points: {{main: {{parameters: {{s: float}}, command: {command!r}}}}}\n"
    )
    return str(root)


def supervisor(connected: Engine, runs: int = 200, seconds: float = 60) -> Iterator[Figure]:
    """What it takes while many containers run, and how soon the end of one is written down."""
    with own_state() as folder:
        project = _project(folder, "sleep {s}")
        with ThreadPoolExecutor(4) as pool:
            started: list[ContainerRun] = list(
                pool.map(lambda _: _submit(project, 3600), range(runs))
            )
        pid = _supervisor_of(connected)
        time.sleep(10)  # the start of so many is over
        before, begun = _cpu_seconds(pid), time.monotonic()
        time.sleep(seconds)
        share = (_cpu_seconds(pid) - before) / (time.monotonic() - begun) * 100
        resident = peak_bytes(pid) / MEGABYTE
        (proxy,) = processes_named(PROXY, state_folder().parent)
        served = peak_bytes(proxy) / MEGABYTE
        latencies = [_seconds_to_status(project) for _ in range(5)]
        for run in started:
            client_of(connected).api.remove_container(run.container_id, force=True)
        while any(ledger_of(connected.host).entries()):
            time.sleep(0.5)
        os.kill(pid, 15)
        os.kill(proxy, 15)
    yield Figure(f"supervisor with {runs} containers, most memory", one(resident), 60, "MB")
    yield Figure(f"tracking proxy with {runs} containers, most memory", one(served), 280, "MB")
    yield Figure(f"supervisor with {runs} containers, of one CPU", one(share), 1, "%")
    yield Figure(
        f"from a container's end to the run's status, {runs} others",
        Sample(tuple(latencies)),
        4,
        "s",
    )


def _submit(project: str, seconds: float) -> ContainerRun:
    run = container_backend.run(project, parameters={"s": seconds}, synchronous=False)
    return container_backend.attach(run.run_id)


def _seconds_to_status(project: str) -> float:
    run = _submit(project, 2)
    while run.get_status() == "RUNNING":
        time.sleep(0.02)
    written = time.time()
    from mlflow.tracking import MlflowClient

    ended = MlflowClient().get_run(run.run_id).info.end_time
    return float(written - ended / 1000)


def _supervisor_of(connected: Engine) -> int:
    """The number of its process."""
    for pid in processes_named(SUPERVISOR, state_folder().parent):
        return pid
    raise RuntimeError(f"there is no supervisor of {connected.host.url}")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    """The most that a process has had in memory."""
    (line,) = re.findall(
        r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE
    )
    return int(line) * 1024


def streaming(connected: Engine, rounds: int, size: int = 300 * MEGABYTE) -> Ratio:
    """Output on its way to a pipe, as a rate."""
    rates: dict[str, list[float]] = {"ours": [], "docker": []}
    image = container_backend.build(str(peers.EXAMPLE))
    with own_state() as folder:
        project = _project(folder, _GIGABYTE_OF_LINES.format(bytes="{s}"))
        for _ in range(rounds):
            rates["ours"].append(
                _rate(size, "container-backend", "run", project, "-P", f"s={size}")
            )
            rates["docker"].append(_docker_rate(connected, image, size))
    megabytes = {name: Sample(tuple(each)).map(_megabytes) for name, each in rates.items()}
    what = "output of a run / docker logs -f"
    return Ratio(what, megabytes["ours"], megabytes["docker"], 0.80, "MB/s", larger_is_better=True)


def _megabytes(size: float) -> float:
    return size / MEGABYTE


def _rate(size: int, program: str, *arguments: str) -> float:
    """Bytes per second from the first to the last, as a reader sees them."""
    path = Path(sys.executable).with_name(program)
    command = [str(path) if path.exists() else program, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        read, begun = 0, None
        while data := os.read(process.stdout.fileno(), 1024 * 1024):
            begun = begun or time.perf_counter()
            read += len(data)
        ended = time.perf_counter()
    if begun is None or read < size:
        raise RuntimeError(f"{command} gave {read} bytes of {size}")
    return read / (ended - begun)


def _docker_rate(connected: Engine, image: str, size: int) -> float:
    api = client_of(connected).api
    command = ["sh", "-c", _GIGABYTE_OF_LINES.format(bytes=size)]
    container = api.create_container(image, command)["Id"]
    try:
        api.start(container)
        return _rate(size, "docker", "logs", "-f", container)
    finally:
        api.remove_container(container, force=True)


def memory_of_output(size: int = 1000 * MEGABYTE) -> Figure:
    """The most that the command has in memory with much output, over what it has with none."""
    with own_state() as folder:
        project = _project(folder, _GIGABYTE_OF_LINES.format(bytes="{s}"))
        least, most = (
            peers.peak_memory("container-backend", "run", project, "-P", f"s={each}") / MEGABYTE
            for each in (0, size)
        )
    return Figure("memory that 1 GB of output takes", one(most - least), 20, "MB")
