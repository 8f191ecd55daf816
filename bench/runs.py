"""Runs: the example's, and one of a command that does nothing."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import container_backend
from bench import peers
from bench.measure import Ratio, in_turns
from container_backend.project import Owner, archive_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.engine import Engine


def salary_runs(image: str, rounds: int) -> list[Ratio]:
    """The example, from the command line to its exit."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        stores = {name: folder / name for name in ("ours", "mlflow", "bare")}
        for store in stores.values():
            store.mkdir()
        docker_project = peers.mlflow_docker_project(folder / "project")
        store_of = {name: f"sqlite:///{store}/mlflow.db" for name, store in stores.items()}
        bare = (
            *("run", "--rm", "--init", "-v", f"{peers.EXAMPLE}:/code:ro", "-w", "/code"),
            *("-v", f"{stores['bare']}:{stores['bare']}"),
            *("-e", f"MLFLOW_TRACKING_URI={store_of['bare']}", image, "bash", "-c"),
            f"cd {stores['bare']} && python /code/train_model.py --n-jobs 2 --fit-intercept True",
        )
        contenders = {
            "ours": lambda: peers.run(
                "container-backend", "run", str(peers.EXAMPLE), "-P", "n_jobs_param=2",
                cwd=stores["ours"], MLFLOW_TRACKING_URI=store_of["ours"],
            ),
            "mlflow": lambda: peers.run(
                "mlflow", "run", str(docker_project), "--build-image", "-P", "n_jobs_param=2",
                cwd=stores["mlflow"], MLFLOW_TRACKING_URI=store_of["mlflow"],
            ),
            "bare": lambda: peers.run("docker", *bare, cwd=stores["bare"]),
        }  # fmt: skip
        in_turns(contenders, 1)  # the first time, stores and bytecode are made
        times = in_turns(contenders, rounds)
    return [
        Ratio("salary run / mlflow run with docker_env", times["ours"], times["mlflow"], 0.68),
        Ratio("salary run / bare docker run", times["ours"], times["bare"], 1.15),
    ]


def true_runs(connected: Engine, rounds: int) -> Ratio:
    """A command that does nothing, in a process that has everything imported."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        folder.mkdir()
        (folder / "MLproject").write_text("entry_points: {main: {command: 'true'}}\n")
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{temporary}/mlflow.db"
        container_backend.run(str(folder))
        image = container_backend.build(str(folder))
        with archive_code(folder, Owner(0, 0)) as packed:
            archive = packed.file.read()
        contenders = {
            "ours": lambda: container_backend.run(str(folder)),
            "bare": lambda: peers.bare_container(connected, image, archive, ["true"]),
        }
        in_turns(contenders, 1)
        times = in_turns(contenders, rounds)
    return Ratio("run of `true`, warm / bare SDK calls", times["ours"], times["bare"], 1.10)


def many_runs(image: str, rounds: int, runs: int = 200, width: int = 16) -> Ratio:
    """Runs of a command that does nothing, many at a time, from one process."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        folder.mkdir()
        (folder / "MLproject").write_text("entry_points: {main: {command: 'true'}}\n")
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{temporary}/mlflow.db"
        container_backend.run(str(folder))
        bare = ("run", "--rm", "--init", image, "true")

        def at_once(work: Callable[[int], object]) -> None:
            with ThreadPoolExecutor(width) as pool:
                list(pool.map(work, range(runs)))

        contenders = {
            "ours": lambda: at_once(lambda _: container_backend.run(str(folder))),
            "bare": lambda: at_once(lambda _: peers.run("docker", *bare, cwd=folder)),
        }
        times = in_turns(contenders, rounds)
    what = f"{runs} runs of `true`, {width} at a time / bare docker run"
    rates = {name: taken.map(lambda seconds: runs / seconds) for name, taken in times.items()}
    return Ratio(what, rates["ours"], rates["bare"], 0.85, "/s", larger_is_better=True)
