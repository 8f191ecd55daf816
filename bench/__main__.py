"""Print how this compares, as ratios: ``python -m bench [--rounds N]``."""

from __future__ import annotations

import argparse
import logging
import os
from itertools import chain
from typing import TYPE_CHECKING

import container_backend
from bench import builds, peers, rerunning, runs, sharing, steps, tracking, watching
from container_backend.engine import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.measure import Figure, Ratio
    from container_backend.engine import Engine


def main() -> None:
    """Measure everything, print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--builds", type=int, default=3, help="builds of each (default: 3)")
    parser.add_argument(
        "--only",
        choices=("builds", "runs", "tracking", "steps", "sharing"),
        help="only these (default: all)",
    )
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    connected = connect()
    image = container_backend.build(str(peers.EXAMPLE))
    logging.getLogger("container_backend").setLevel(logging.WARNING)
    print(f"engine {connected.facts.version}, {os.cpu_count()} cores; medians", flush=True)
    measured = []
    if arguments.only in {None, "builds"}:
        measured.append(_builds(connected, arguments.rounds, arguments.builds))
    if arguments.only in {None, "runs"}:
        measured.append(_runs(connected, image, arguments.rounds))
    if arguments.only in {None, "tracking"}:
        measured.append(_tracking(connected, image, arguments.rounds))
    if arguments.only in {None, "steps"}:
        measured.append(steps.steps(arguments.rounds))
    if arguments.only in {None, "sharing"}:
        measured.append(sharing.sharing(connected, arguments.rounds))
    for figure in chain(*measured):
        print(figure, flush=True)
    peers.remove_images(connected, [peers.PLAIN_IMAGE])


def _builds(connected: Engine, rounds: int, count: int) -> Iterator[Figure | Ratio]:
    yield builds.look_up(connected, 10 * rounds)
    yield builds.memory(connected, count)
    yield from builds.builds(connected, count)
    yield builds.size(connected)
    yield builds.pushed(connected)


def _runs(connected: Engine, image: str, rounds: int) -> Iterator[Figure | Ratio]:
    yield runs.true_runs(connected, 3 * rounds)
    yield runs.many_runs(image, 1 + rounds // 2)
    yield watching.streaming(connected, 1 + rounds // 2)
    yield watching.memory_of_output()
    yield from watching.supervisor(connected)
    yield from runs.salary_runs(image, rounds)
    yield rerunning.rerun_times(1 + rounds // 2)
    yield from rerunning.second_engine(connected)


def _tracking(connected: Engine, image: str, rounds: int) -> Iterator[Figure | Ratio]:
    yield from tracking.commands(rounds)
    yield from tracking.artifacts(image, connected, 1 + rounds // 2)


if __name__ == "__main__":
    main()
