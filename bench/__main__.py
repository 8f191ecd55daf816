"""Print how this compares, as ratios: ``python -m bench [--rounds N]``."""

from __future__ import annotations

import argparse
import logging
import os

import container_backend
from bench import builds, peers, runs
from container_backend import engine


def main() -> None:
    """Measure everything, print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--builds", type=int, default=3, help="builds of each (default: 3)")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    connected = engine.connect()
    image = container_backend.build(str(peers.EXAMPLE))
    logging.getLogger("container_backend").setLevel(logging.WARNING)
    print(f"engine {connected.version}, {os.cpu_count()} cores; medians", flush=True)
    print(builds.look_up(connected, 10 * arguments.rounds), flush=True)
    print(builds.memory(connected, arguments.builds), flush=True)
    print(runs.true_runs(connected, 3 * arguments.rounds), flush=True)
    for ratio in builds.builds(connected, arguments.builds):
        print(ratio, flush=True)
    print(builds.size(connected), flush=True)
    print(builds.pushed(connected), flush=True)
    for ratio in runs.salary_runs(image, arguments.rounds):
        print(ratio, flush=True)
    peers.remove_images(connected, [peers.PLAIN_IMAGE])


if __name__ == "__main__":
    main()
