"""Steps of a program: beside its container, in it, and in a dry run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import mlflow

import container_backend
from bench import peers
from bench.measure import Ratio, in_turns
from container_backend.runs import Submission, preview

if TYPE_CHECKING:
    from collections.abc import Iterator

# Runs a step some times, and says how long each took. `mlflow.run`
_DRIVER: Final = """
import json, os, statistics, sys, time
import mlflow
uri, entry_point, env_manager, count = sys.argv[1:]
times = []
for _ in range(int(count) + 1):
    started = time.perf_counter()
    mlflow.run(uri, entry_point, env_manager=env_manager or None)
    times.append(time.perf_counter() - started)
with open(os.environ.get("TIMES", "times.json"), "w") as file:
    json.dump(times[1:], file)
with mlflow.start_run():
    mlflow.log_metric("median", statistics.median(times[1:]))
"""
_STEP: Final = "python_env: python_env.yaml\nentry_points: {main: {command: 'true'}}\n"
_LOG: Final = "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('x', 1)\n"
_COUNT: Final = 5


def steps(rounds: int) -> Iterator[Ratio]:
    """A step beside its driver, in its driver's container, and a dry run of ten of them."""
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{temporary}/mlflow.db"
        folder = _project(Path(temporary) / "driver")
        step = folder / "steps" / "0"
        container_backend.run(str(step))
        contenders = {
            "beside": lambda: _driven(folder, "steps/0", "main"),
            "host": lambda: _hosted(step),
            "in place": lambda: _driven(folder, ".", "log"),
            "local": lambda: _local(folder),
        }
        in_turns(contenders, 1)
        times = in_turns(contenders, rounds)
        yield Ratio("a step beside its driver / from the host", times["beside"], times["host"], 1.5)
        yield Ratio(
            "a step in place that logs a metric / env_manager='local'",
            times["in place"],
            times["local"],
            1.1,
        )
        ten, single = _project(Path(temporary) / "ten", 10), _project(Path(temporary) / "one", 1)
        contenders = {
            "ten": lambda: preview(Submission(str(ten))),
            "one": lambda: preview(Submission(str(single))),
        }
        in_turns(contenders, 1)
        times = in_turns(contenders, 3 * rounds)
        yield Ratio("dry run with ten steps / with one", times["ten"], times["one"], 2.0)


def _project(folder: Path, count: int = 1) -> Path:
    """A driver in the environment of the example, and steps with an empty one."""
    folder.mkdir()
    (folder / "MLproject").write_text(
        "python_env: python_env.yaml\nentry_points:\n"
        "  main:\n    parameters: {uri: {default: steps/0}, entry: {default: main}}\n"
        f"    command: python driver.py {{uri}} {{entry}} '' {_COUNT}\n"
        "  log: {command: python log.py}\n"
    )
    for name in ("python_env.yaml", "requirements.txt"):
        shutil.copy(peers.EXAMPLE / name, folder)
    (folder / "driver.py").write_text(_DRIVER)
    (folder / "log.py").write_text(_LOG)
    for number in range(count):
        step = folder / "steps" / str(number)
        step.mkdir(parents=True)
        (step / "MLproject").write_text(_STEP)
        (step / "python_env.yaml").write_text('python: "3.11"\n')
    return folder


def _driven(folder: Path, uri: str, entry_point: str) -> float:
    """The median of some steps of a driver in a container, in seconds."""
    run = container_backend.run(str(folder), parameters={"uri": uri, "entry": entry_point})
    return float(mlflow.get_run(run.run_id).data.metrics["median"])


def _hosted(step: Path) -> float:
    """The same for `mlflow.run` in a program on this machine."""
    return _median(str(step), "main", "docker")


def _local(folder: Path) -> float:
    """The same for MLflow's own `env_manager="local"`."""
    return _median(str(folder), "log", "local")


def _median(uri: str, entry_point: str, env_manager: str) -> float:
    program = _DRIVER
    if env_manager == "docker":
        program = program.replace("env_manager=env_manager or None", "backend='docker'")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # for the commands of the project
    with tempfile.TemporaryDirectory() as temporary:
        times = Path(temporary) / "times.json"
        subprocess.run(
            [sys.executable, "-c", program, uri, entry_point, env_manager, str(_COUNT)],
            check=True, capture_output=True, cwd=temporary,
            env={**os.environ, "TIMES": str(times), "PATH": path},
        )  # fmt: skip
        found = sorted(json.loads(times.read_text()))
    return float(found[len(found) // 2])
