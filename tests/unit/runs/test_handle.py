"""How many threads of a process wait for the ends of runs."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

from container_backend.runs.handle import _Statuses


def test_threads_that_wait_for_one_run_share_a_read():
    reads = []

    def read() -> str:
        reads.append(1)
        return "RUNNING"

    statuses = _Statuses()
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda _: statuses.read("1", read), range(50)))
    assert found == ["RUNNING"] * 50
    assert len(reads) == 1


def test_threads_that_wait_for_many_runs_leave_time_to_others():
    """Reads are never side by side, and the process rests longer than it reads."""
    spans = []

    def read() -> str:
        begun = time.monotonic()
        time.sleep(0.01)
        spans.append((begun, time.monotonic()))
        return "RUNNING"

    statuses = _Statuses()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda run: statuses.read(str(run), read), range(10)))
    spans.sort()
    for (begun, ended), (next_begun, _) in itertools.pairwise(spans):
        assert next_begun - ended >= 2 * (ended - begun)


def test_an_end_is_seen_at_the_next_read():
    statuses = _Statuses()
    assert statuses.read("1", lambda: "RUNNING") == "RUNNING"
    time.sleep(0.3)  # longer than a read is remembered
    assert statuses.read("1", lambda: "FINISHED") == "FINISHED"
