"""The tracking proxy: what it costs a run, and how fast artifacts go through it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import container_backend
from bench import peers
from bench.measure import Figure, Ratio, Sample, in_turns, one
from bench.watching import MEGABYTE, own_state, peak_bytes
from container_backend.machine import state_folder
from container_backend.runs.tracking.gateway import gateway_of
from tests.support.client import client_of
from tests.support.processes import PROXY, processes_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import Engine

_BYTES: Final = 200 * MEGABYTE
# Prints the seconds of an upload and of a download of a file, as MLflow's client sends them.
_SENDS: Final = """
import os, sys, time, urllib.request
run, size = os.environ["MLFLOW_RUN_ID"], int(sys.argv[1])
path = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/file"
headers = {"Authorization": "Bearer " + os.environ.get("MLFLOW_TRACKING_TOKEN", "")}
with open("/tmp/file", "wb") as file:
    for _ in range(size // 1000000):
        file.write(b"x" * 1000000)

def send(**more):
    request = urllib.request.Request(os.environ["MLFLOW_TRACKING_URI"] + path, headers=headers, **more)
    return urllib.request.urlopen(request, timeout=600)

started = time.perf_counter()
with open("/tmp/file", "rb") as file:
    headers["Content-Length"] = str(size)
    send(data=file, method="PUT").read()
middle = time.perf_counter()
del headers["Content-Length"]
with send() as answer:
    while answer.read(1 << 20):
        pass
print("took", middle - started, time.perf_counter() - middle)
"""


def commands(rounds: int) -> Iterator[Ratio]:
    """A command that does nothing, with a proxy that is there, and one that is not."""
    with own_state() as folder:
        ours, theirs = folder / "ours", folder / "theirs"
        for project, environment in (
            (ours, "python_env: python_env.yaml"),
            (theirs, f"docker_env: {{image: '{peers.BASE}'}}"),
        ):
            project.mkdir()
            (project / "MLproject").write_text(
                f"name: bench\n{environment}\nentry_points: {{main: {{command: 'true'}}}}\n"
            )
        (ours / "python_env.yaml").write_text("python: '3.11'\n")

        def run_ours() -> None:
            peers.run("container-backend", "run", "ours", cwd=folder,
                      MLFLOW_TRACKING_URI=f"sqlite:///{folder}/ours.db")  # fmt: skip

        def run_cold() -> float:
            _end_proxies()
            started = time.perf_counter()
            run_ours()
            taken = time.perf_counter() - started
            _await_proxies(1)
            return taken

        contenders = {
            "cold": run_cold,
            "warm": run_ours,
            "mlflow": lambda: peers.run(
                "mlflow", "run", "theirs", "--build-image", cwd=folder,
                MLFLOW_TRACKING_URI=f"sqlite:///{folder}/theirs.db",
            ),
        }  # fmt: skip
        in_turns(contenders, 1)
        times = in_turns(contenders, rounds)
        _end_proxies()
    peer = "mlflow run with docker_env"
    yield Ratio(f"command run of `true`, warm proxy / {peer}", times["warm"], times["mlflow"], 0.30)
    yield Ratio(f"command run of `true`, cold proxy / {peer}", times["cold"], times["mlflow"], 0.55)


def artifacts(image: str, engine: Engine, rounds: int) -> Iterator[Ratio | Figure]:
    """A file of 200 MB, up and down: through the proxy, and to MLflow's own server."""
    with own_state() as folder:
        project = folder / "project"
        project.mkdir()
        (project / "MLproject").write_text(
            f"docker_env: {{image: '{image}'}}\nentry_points: {{main: {{parameters: {{bytes: int}}, "
            "command: 'python sends.py {bytes}'}}\n"
        )
        (project / "sends.py").write_text(_SENDS)

        def sent(size: int = _BYTES, **more: object) -> tuple[float, ...]:
            run = container_backend.run(str(project), parameters={"bytes": size}, docker_args=more)
            return _taken(b"".join(run.logs()).decode())

        with _server(folder, engine) as address:

            def to_server() -> tuple[float, ...]:
                return _taken(_as_container(engine, image, address))

            ways = {"proxy": sent, "engine": lambda: sent(network="none"), "server": to_server}
            taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, way in ways.items():
                    taken[name].append(way())
        (pid,) = processes_named(PROXY, state_folder().parent)
        before = peak_bytes(pid)
        sent(1000 * MEGABYTE)
        grown = peak_bytes(pid) - before
        _end_proxies()
    for at, what in enumerate(("upload", "download")):
        rates = {
            name: Sample(tuple(_BYTES / MEGABYTE / each[at] for each in all_taken))
            for name, all_taken in taken.items()
        }
        for name, said, limit in (("proxy", "the proxy", 0.9), ("engine", "the engine", 0.5)):
            yield Ratio(
                f"{what} of 200 MB through {said} / mlflow server", rates[name], rates["server"], limit,
                "MB/s", larger_is_better=True,
            )  # fmt: skip
    yield Figure(
        "proxy, more memory at most after 1 GB up and down", one(grown / MEGABYTE), 30, "MB"
    )


def _taken(output: str) -> tuple[float, ...]:
    (line,) = (each for each in output.splitlines() if each.startswith("took "))
    return tuple(map(float, line.split()[1:]))


def _as_container(engine: Engine, image: str, address: str) -> str:
    from mlflow import MlflowClient

    run = MlflowClient(address).create_run("0")
    output = client_of(engine).containers.run(
        image,
        ["python", "-c", _SENDS, str(_BYTES)],
        environment={"MLFLOW_TRACKING_URI": address, "MLFLOW_RUN_ID": run.info.run_id},
        remove=True,
    )
    return bytes(output).decode()


@contextmanager
def _server(folder: Path, engine: Engine) -> Iterator[str]:
    """The address of MLflow's own server, which containers of the default network reach."""
    from tests.support.store import copy_empty_store  # imports MLflow, which other rows do without

    store = folder / "server.db"
    copy_empty_store(store, "mlflow-artifacts:/0")
    host = gateway_of(engine, None)
    assert host is not None
    with socket.create_server((host, 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            *(Path(sys.executable).with_name("mlflow"), "server", "--host", host),
            *("--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{store}"),
            *("--artifacts-destination", str(folder / "artifacts"), "--allowed-hosts", "*"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        peers.wait_for(f"{host}:{port}", process, 60)
        yield f"http://{host}:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def _await_proxies(count: int) -> None:
    """Wait until so many proxies answer; one that is still starting would slow the next contender."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if len(list(state_folder().glob("tracking/*/socket"))) == count:
            return
        time.sleep(0.05)
    raise RuntimeError(f"{count} proxies are not there")


def _end_proxies() -> None:
    """End the proxies of the state folder, for their runs are over."""
    for pid in processes_named(PROXY, state_folder().parent):
        os.kill(pid, 15)
    while processes_named(PROXY, state_folder().parent):
        time.sleep(0.05)
    for stale in state_folder().glob("tracking/*/socket"):
        stale.unlink()
