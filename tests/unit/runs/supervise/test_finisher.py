"""What the supervisor hands to the processes that write the end of a run down."""

from __future__ import annotations

import json

import pytest

from container_backend.container.described import RunContainer
from container_backend.container.status_and_reason import Signs
from container_backend.runs.supervise.finisher import END, Job, read_job

CONTAINER = RunContainer(
    "id", "mlflow-run-1", {"a": "ü b"}, {"Status": "exited", "ExitCode": 3}, {"X": "1"}, "true",
    cpus=0.5,
)  # fmt: skip


@pytest.mark.parametrize("container", [None, CONTAINER])
def test_a_job_is_read_in_another_process_as_it_was(container):
    job = Job(END, "s", "1", "0", container, signs=Signs(signal=9, engine_lost=True), attempts=2)
    assert read_job(json.loads(json.dumps(job.as_json()))) == job
