"""What the documents say is not defended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import container_backend
from tests.support.client import client_of
from tests.support.runs import runs
from tests.support.tracking import write_asking

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def inspected(engine, project) -> Iterator[dict[str, Any]]:
    """The engine's description of a container that runs."""
    run = container_backend.run(
        project("entry_points: {main: {command: 'sleep 600'}}\n"),
        backend_config={"detach": True},
        docker_args={"env": "MY_TOKEN=of mine"},
    )
    yield client_of(engine).api.inspect_container(run.container_id)
    run.cancel(grace=0)


def test_every_user_of_the_engine_reads_the_variables_of_a_program(inspected):
    assert "MY_TOKEN=of mine" in inspected["Config"]["Env"]


def test_the_files_of_a_container_have_no_limit(inspected):
    assert not inspected["HostConfig"].get("StorageOpt")


def test_a_program_has_a_way_to_every_address(project, capfd):
    container_backend.run(project("entry_points: {main: {command: 'cat /proc/net/route'}}"))
    rows = [line.split() for line in capfd.readouterr().out.splitlines()]
    destinations = [row[rows[0].index("Destination")] for row in rows[1:]]
    assert "00000000" in destinations


def test_a_program_of_the_user_may_change_every_run_of_its_store(script, tmp_path):
    other = container_backend.run(script("pass"))
    change = ("POST", "runs/update", {"run_id": other.run_id, "status": "FAILED"})
    container_backend.run(write_asking(tmp_path / "asks", [change]))
    assert sorted(run.info.status for run in runs()) == ["FAILED", "FINISHED"]


def test_the_engines_filter_of_system_calls_is_on(project, capfd):
    folder = project("entry_points: {main: {command: 'grep ^Seccomp: /proc/self/status'}}")
    container_backend.run(folder)
    assert capfd.readouterr().out.split() == ["Seccomp:", "2"]
