"""Readings of a container's statistics become metrics of its run, each once."""

from __future__ import annotations

import pytest
from mlflow.tracking import MlflowClient

from container_backend.container.statistics import Sample, append_sample
from container_backend.store import MlflowStore
from container_backend.store.metrics import log_metrics
from tests.support.store import new_store

NAME = "system/cpu_utilization_percentage"


@pytest.fixture
def client(tmp_path) -> MlflowClient:
    return MlflowClient(new_store(tmp_path))


@pytest.fixture
def run_id(client) -> str:
    return client.create_run("0").info.run_id


def logged(client, run_id) -> list[tuple[int, float, int]]:
    return [
        (each.step, each.value, each.timestamp) for each in client.get_metric_history(run_id, NAME)
    ]


def test_each_reading_is_logged_once(client, run_id, tmp_path):
    file = tmp_path / "metrics.jsonl"
    for step in range(3):
        append_sample(file, Sample(1000.5 + step, step, {NAME: 10.0 * step}))
        log_metrics(MlflowStore(client.tracking_uri), run_id, file)
    whole = [(step, 10.0 * step, 1_000_500 + 1000 * step) for step in range(3)]
    assert logged(client, run_id) == whole
    # By a process that does not know what was sent: no reading is logged twice.
    file.with_name("metrics.jsonl.sent").unlink()
    log_metrics(MlflowStore(client.tracking_uri), run_id, file)
    assert logged(client, run_id) == whole


def test_more_than_fit_into_one_request(client, run_id, tmp_path, monkeypatch):
    """A server takes no more than a thousand."""
    sizes = []

    class Counting(MlflowClient):
        def log_batch(self, run_id, metrics, *more):
            sizes.append(len(metrics))
            super().log_batch(run_id, metrics, *more)

    monkeypatch.setattr("container_backend.store.client.by_mlflow.MlflowClient", Counting)
    file = tmp_path / "metrics.jsonl"
    for step in range(1001):
        append_sample(file, Sample(1000.0 + step, step, {NAME: 1.0}))
    log_metrics(MlflowStore(client.tracking_uri), run_id, file)
    assert sizes == [1000, 1]
    assert len(logged(client, run_id)) == 1001


def test_without_readings_there_are_no_metrics(client, run_id, tmp_path):
    (tmp_path / "file").touch()
    log_metrics(MlflowStore(client.tracking_uri), run_id, tmp_path / "gone" / "metrics.jsonl")
    log_metrics(MlflowStore(client.tracking_uri), run_id, tmp_path / "file" / "metrics.jsonl")
    assert logged(client, run_id) == []


def test_a_disk_that_takes_nothing_holds_up_nothing(client, run_id, tmp_path):
    file = tmp_path / "metrics.jsonl"
    append_sample(file, Sample(1000.0, 0, {NAME: 1.0}))
    (tmp_path / "metrics.jsonl.sent").mkdir()  # nor can what was sent be noted there
    log_metrics(MlflowStore(client.tracking_uri), run_id, file)
    (tmp_path / "metrics.jsonl.sent").rmdir()
    log_metrics(MlflowStore(client.tracking_uri), run_id, file)
    assert logged(client, run_id) == [(0, 1.0, 1_000_000)]
