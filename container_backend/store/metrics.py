"""Readings of a container's statistics → system metrics of its run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from mlflow.entities import Metric

from container_backend.container import read_samples
from container_backend.machine import write_whole
from container_backend.store.reach import turn_to_write

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.tracking import MlflowClient

_logger = logging.getLogger(__package__)
# https://mlflow.org/docs/latest/rest-api.html#log-batch: at most 1000 metrics a request.
_METRICS_PER_REQUEST: Final = 1000
_SENT: Final = ".sent"


def log_metrics(client: MlflowClient, run_id: str, file: Path) -> None:
    """Log the readings that were not logged yet.

    One that is logged twice, as by two processes at once, is there once: stores know a metric by
    its time, step and value.

    Args:
        client: Of the run's store.
        run_id: The run.
        file: Of readings; one that is not there has none.

    A disk that does not give or take anything holds up no run: then there are fewer of them.

    Raises:
        MlflowException: The store does not take them; they are logged the next time.
    """
    sent_file = file.with_name(file.name + _SENT)
    try:
        samples = read_samples(file)
        sent = int(sent_file.read_text()) if sent_file.exists() else -1
    except (OSError, ValueError) as error:
        _logger.debug("No readings in %s: %s", file, error)
        return
    metrics = [
        Metric(name, value, int(sample.at * 1000), sample.step)
        for sample in samples
        if sample.step > sent
        for name, value in sample.values.items()
    ]
    for start in range(0, len(metrics), _METRICS_PER_REQUEST):
        with turn_to_write(client.tracking_uri):
            client.log_batch(run_id, metrics=metrics[start : start + _METRICS_PER_REQUEST])
    if metrics:
        try:
            write_whole(sent_file, str(samples[-1].step))
        except OSError as error:
            _logger.debug("%s is not written: %s", sent_file, error)
