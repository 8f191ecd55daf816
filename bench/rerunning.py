"""A run of the example, once more: on an engine that has never seen it, and where everything is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import container_backend
from bench import peers
from bench.measure import Figure, Ratio, in_turns, one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import Engine

_COMMAND = Path(sys.executable).with_name("container-backend")


def second_engine(connected: Engine) -> Iterator[Figure]:
    """What differs when the example is repeated on a second engine, which must build its image.

    Raises:
        RuntimeError: It could not be repeated, or there is nothing to compare.
    """
    from tests.support.engines import OwnEngine  # a real dockerd in namespaces of its own

    with tempfile.TemporaryDirectory() as temporary, OwnEngine() as own:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{temporary}/mlflow.db"
        own.take(peers.BASE, connected)
        first = container_backend.run(str(peers.EXAMPLE), parameters={"n_jobs_param": 2}).run_id
        lines = _rerun(temporary, first, "--on", own.host)
    names = {"packages": "packages that differ", "metrics": "metrics that differ in any digit"}
    for what, said in names.items():
        found = [line for line in lines if line["what"] == what]
        count = int(found[0]["left"])
        if count == 0:
            raise RuntimeError(f"no {what} to compare")
        differing = sum(line["verdict"] == "differs" for line in found[1:])
        yield Figure(f"rerun on a second engine: {said}", one(float(differing)), 0.0, f"of {count}")


def rerun_times(rounds: int) -> Ratio:
    """The example run and repeated, from the command line to its exit; the image is there."""
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{temporary}/mlflow.db"
        first = container_backend.run(str(peers.EXAMPLE), parameters={"n_jobs_param": 2}).run_id
        contenders = {
            "ours": lambda: _rerun(temporary, first),
            "run": lambda: peers.run(
                "container-backend", "run", str(peers.EXAMPLE), "-P", "n_jobs_param=2",
                cwd=Path(temporary), MLFLOW_TRACKING_URI=os.environ["MLFLOW_TRACKING_URI"],
            ),
        }  # fmt: skip
        times = in_turns(contenders, rounds)
    return Ratio("rerun of the example / run of it", times["ours"], times["run"], 1.25)


def _rerun(folder: str, run_id: str, *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [_COMMAND, "rerun", run_id, "--json", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"rerun failed:\n{done.stderr}")
    lines: list[dict[str, Any]] = json.loads(done.stdout)["lines"]
    return lines
