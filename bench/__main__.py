"""Print how this compares, as ratios: ``python -m bench [--rounds N]``."""

from __future__ import annotations

import argparse
import logging
import os
import re
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import container_backend
from bench import peers
from bench.measure import Figure, Ratio, medians
from container_backend import code, engine, image_build, images, project, registry
from container_backend.buildkit import BuildRequest, build_image
from container_backend.config import BackendConfig
from container_backend.dockerfile import ImagePlan, plan_image
from container_backend.environment import read_environment
from container_backend.render import LAYERS
from container_backend.spec import EnvironmentSpec

if TYPE_CHECKING:
    from container_backend.engine import Engine

CACHE_ID = "id=container-backend-uv"
# Small packages without dependencies, one for each round: what a person might add to a project.
SMALL_PACKAGES = (
    "humanize",
    "tabulate",
    "toolz",
    "xxhash",
    "sortedcontainers",
    "termcolor",
    "parse",
)


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
        medians(contenders, 1)  # the first time, stores and bytecode are made
        times = medians(contenders, rounds)
    return [
        Ratio("salary run / mlflow run with docker_env", times["ours"], times["mlflow"], 0.85),
        Ratio("salary run / bare docker run", times["ours"], times["bare"], 1.40),
    ]


def example_environment() -> EnvironmentSpec:
    """The example's, without a change."""
    spec = read_environment(project.read_project(peers.EXAMPLE), None, BackendConfig())
    assert isinstance(spec, EnvironmentSpec)
    return spec


def plan(connected: Engine, spec: EnvironmentSpec) -> ImagePlan:
    """On the usual base."""
    base = images.resolve_base(connected, f"python:{spec.python}-slim")
    return plan_image(spec, base, connected.platform)


def build_from_nothing(connected: Engine, spec: EnvironmentSpec) -> None:
    """Without any step, download or wheel of before: caches under another name."""
    planned = plan(connected, spec)
    dockerfile = planned.dockerfile.replace(CACHE_ID, f"id=bench-{uuid.uuid4()}")
    request = BuildRequest(
        context={**planned.context, "Dockerfile": dockerfile.encode()},
        tags=("container-backend-bench/ours:1",),
        secrets=image_build.build_secrets(spec.indexes),
        credentials=registry.credentials_of(connected),
        no_cache=True,
    )
    build_image(connected.streams.api, connected.host, request)


def as_if_new(planned: ImagePlan) -> ImagePlan:
    """The plan, with the steps that a new requirement repeats as if no bench had run them before."""
    repeated = rf"sh (?=/build/resolve\.sh |/build/install\.sh .*pylock\.{LAYERS[-1]}\.)"
    dockerfile, count = re.subn(repeated, f": {uuid.uuid4()}; sh ", planned.dockerfile)
    assert count == 2  # noqa: PLR2004 the two steps above
    return replace(planned, context={**planned.context, "Dockerfile": dockerfile.encode()})


def builds(connected: Engine, rounds: int) -> list[Ratio]:
    """The example's environment: from nothing, and with one small requirement more."""
    spec = example_environment()
    requirements = (peers.EXAMPLE / "requirements.txt").read_text()
    container_backend.build(str(peers.EXAMPLE))
    added: list[str] = []

    def one_more() -> None:
        package = SMALL_PACKAGES[len(added) % len(SMALL_PACKAGES)]
        more = replace(spec, requirements=(*spec.requirements, package))
        planned = as_if_new(plan(connected, more))
        added.append(planned.tag)
        image_build.build(connected, planned)

    times = medians(
        {
            "plain": lambda: peers.build_plain_image(connected, requirements),
            "nothing": lambda: build_from_nothing(connected, spec),
            "one more": one_more,
        },
        rounds,
    )
    peers.remove_images(connected, [*added, "container-backend-bench/ours:1"])
    return [
        Ratio("image from nothing / plain Dockerfile", times["nothing"], times["plain"], 0.45),
        Ratio("one small requirement more / plain", times["one more"], times["plain"], 0.30),
    ]


def look_up(connected: Engine, rounds: int) -> Figure:
    """From the project's files to its image, which is there."""

    def found() -> None:
        assert images.find_image(connected, plan(connected, example_environment())) is not None

    times = medians({"look-up": found}, rounds)
    return Figure("environment read, hashed, and its image found", times["look-up"], 0.030)


def true_runs(connected: Engine, rounds: int) -> Ratio:
    """A command that does nothing, in a process that has everything imported."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        folder.mkdir()
        (folder / "MLproject").write_text("entry_points: {main: {command: 'true'}}\n")
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{temporary}/mlflow.db"
        container_backend.run(str(folder))
        image = container_backend.build(str(folder))
        with code.archive_code(folder, code.Owner(0, 0)) as spool:
            archive = spool.read()
        contenders = {
            "ours": lambda: container_backend.run(str(folder)),
            "bare": lambda: peers.bare_container(connected, image, archive, ["true"]),
        }
        medians(contenders, 1)
        times = medians(contenders, rounds)
    return Ratio("run of `true`, warm / bare SDK calls", times["ours"], times["bare"], 1.40)


def main() -> None:
    """Measure everything, print a line for each ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--builds", type=int, default=3, help="builds of each (default: 3)")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    connected = engine.connect()
    image = container_backend.build(str(peers.EXAMPLE))
    logging.getLogger("container_backend").setLevel(logging.WARNING)
    print(f"engine {connected.version}, {os.cpu_count()} cores; medians", flush=True)
    print(look_up(connected, 10 * arguments.rounds), flush=True)
    print(true_runs(connected, 3 * arguments.rounds), flush=True)
    for ratio in builds(connected, arguments.builds):
        print(ratio, flush=True)
    for ratio in salary_runs(image, arguments.rounds):
        print(ratio, flush=True)
    peers.remove_images(connected, [peers.PLAIN_IMAGE])


if __name__ == "__main__":
    main()
