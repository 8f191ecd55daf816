"""What is seen of a run on MLflow's page: its system metrics and its description."""

from __future__ import annotations

import math
import re
import shlex
from typing import TYPE_CHECKING

import mlflow
import pytest

import container_backend
from container_backend import labels_and_tags
from tests.support.commands import run_command
from tests.support.runs import runs

VARIABLE = labels_and_tags.ENV_SYSTEM_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

# Uses one of the CPUs for half of the time, 50 megabytes, and the disk.
BUSY = """
    import hashlib, os, time
    data = b"x" * 50_000_000
    with open("file", "wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    end = time.monotonic() + 7
    while (now := time.monotonic()) < end:
        if now % 0.2 < 0.1:
            hashlib.sha256(data).digest()
        else:
            time.sleep(0.02)
"""


@pytest.fixture
def busy(script) -> Iterator[mlflow.entities.Run]:
    """A run, ended, with an experiment, an entry point and a parameter of its own."""
    folder = script(BUSY, parameters="{n: {type: float, default: 1}}", command="python main.py {n}")
    run = container_backend.run(folder, parameters={"n": 2, "text": "it's"})
    return mlflow.get_run(run.run_id)


@pytest.mark.slow
def test_a_container_is_seen_under_the_names_of_mlflow(busy):
    metrics = busy.data.metrics
    ours = {name for name in metrics if name.startswith("system/")}
    # Of disks, where the kernel counts what a container reads and writes.
    disk = {"system/disk_read_megabytes", "system/disk_write_megabytes"}
    assert ours - disk == {
        "system/cpu_utilization_percentage",
        "system/system_memory_usage_megabytes",
        "system/system_memory_usage_percentage",
        "system/network_receive_megabytes",
        "system/network_transmit_megabytes",
    }
    assert all(math.isfinite(metrics[name]) and metrics[name] >= 0 for name in ours)
    client = mlflow.MlflowClient()
    cpu = client.get_metric_history(busy.info.run_id, "system/cpu_utilization_percentage")
    assert max(each.value for each in cpu) > 5
    memory = client.get_metric_history(busy.info.run_id, "system/system_memory_usage_megabytes")
    assert 40 < max(each.value for each in memory) < 1000
    for history in (cpu, memory):
        steps = [each.step for each in history]
        assert steps == sorted(set(steps))
        assert len(steps) >= 2
        begin, end = busy.info.start_time, busy.info.end_time
        assert all(begin <= each.timestamp <= end + 1000 for each in history)

    # The description.
    tags = busy.data.tags
    note = tags["mlflow.note.content"]
    seconds = float(re.search(r"\| duration \| ([\d.]+) s \|", note)[1])
    assert 7 <= seconds < 60
    for said in (
        "| status | **FINISHED** (exit code 0) |",
        "| command | `python main.py 2 --text 'it'\"'\"'s'` |",
        f"| image | `{tags[labels_and_tags.TAG_IMAGE]}` |",
        f"| digest | `{tags[labels_and_tags.TAG_IMAGE_DIGEST]}` |",
    ):
        assert said in note

    # It is repeated by what it says of that.
    again = re.search(r"```sh\n(container-backend rerun .*)\n```", note)[1]
    assert run_command(*shlex.split(again)).returncode == 0
    (other,) = [each for each in runs() if each.info.run_id != busy.info.run_id]
    assert other.data.params == busy.data.params
    assert other.data.tags[labels_and_tags.TAG_IMAGE] == tags[labels_and_tags.TAG_IMAGE]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"docker_args": {"env": f"{VARIABLE}=true"}}, id="by the program itself"),
        pytest.param({"docker_args": {"env": f"{VARIABLE}=false"}}, id="not, by a variable"),
        pytest.param({"backend_config": {"system_metrics": False}}, id="not, by the config"),
    ],
)
def test_what_is_not_to_be_measured_from_outside(script, asked):
    run = container_backend.run(script("import time; time.sleep(3)"), **asked)
    metrics = mlflow.get_run(run.run_id).data.metrics
    assert [name for name in metrics if name.startswith("system/")] == []
