"""Many runs at once, from one process."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import docker
import pytest
from mlflow.tracking import MlflowClient

import container_backend
from container_backend import labels_and_tags
from container_backend.container import following
from container_backend.engine import connect, find_host
from container_backend.engine import connection as engines
from container_backend.engine.events import EventStream
from container_backend.machine.owner import owner_id
from tests.support.client import client_of
from tests.support.runs import runs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_state")

_AT_ONCE = 16


@pytest.fixture
def streams(monkeypatch) -> list[str]:
    """The streams of events that this process opens; a look from the side."""
    opened: list[str] = []
    # A supervisor that a test before this one ran in this process reads for as long as it lasts.
    others = threading.enumerate()
    original = EventStream.__init__

    def look(stream, engine, label, since=None, until=None) -> None:
        if until is None and threading.current_thread() not in others:  # it goes on
            opened.append(label)
        original(stream, engine, label, since, until)

    monkeypatch.setattr(EventStream, "__init__", look)
    # Tests before this one, in this process, had their own.
    monkeypatch.setattr(following, "_FOLLOWERS", {})
    return opened


@pytest.mark.serial
@pytest.mark.timeout(300)
@pytest.mark.parametrize("many", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_many_runs_at_once_are_followed_over_one_stream(project, engine, streams, capfd, many):
    folder = project(
        "entry_points: {main: {parameters: {n: float}, command: 'echo run {n}; exit 0'}}\n"
    )
    container_backend.build(folder)
    threads = threading.active_count()

    def run(number: int) -> bool:
        return container_backend.run(folder, parameters={"n": number}, synchronous=True).wait()

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        assert list(pool.map(run, range(many))) == [True] * many
    assert len(streams) == 1
    found = runs()
    assert Counter(each.info.status for each in found) == {"FINISHED": many}
    shown = Counter(capfd.readouterr().out.splitlines())
    assert shown == {f"run {number}": 1 for number in range(many)}
    client = MlflowClient()
    for each in found[::20]:
        logs = client.list_artifacts(each.info.run_id, "logs")
        assert [file.path for file in logs] == ["logs/container.log"]
    ours = {"label": f"{labels_and_tags.LABEL_OWNER}={owner_id()}"}
    wait_until(lambda: client_of(engine).api.containers(all=True, filters=ours) == [])
    # Nothing of them is left in this process.
    wait_until(lambda: threading.active_count() <= threads + _AT_ONCE)


def test_an_engine_says_what_it_is_once_for_many_runs(script, monkeypatch):
    """It starts three programs each time, to find out."""
    asked = []
    version = docker.api.client.APIClient.version

    def count(api, *arguments, **options):
        asked.append(api.base_url)
        return version(api, *arguments, **options)

    monkeypatch.setattr(docker.api.client.APIClient, "version", count)
    monkeypatch.setattr(engines, "_known", {})
    monkeypatch.setattr(engines, "_KNOWN_SECONDS", 600)  # runs may take long here
    folder = script("pass", command="true")
    for _ in range(3):
        container_backend.run(folder)
    assert len(asked) == 1
    # Another engine, behind the same address: it greets differently.
    host = find_host().url
    engines._known[host] = replace(engines._known[host], greeting=("another",))
    with closing(connect()):
        assert len(asked) == 2
