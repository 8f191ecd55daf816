"""Readings of a container's statistics → system metrics of its run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from mlflow.entities import Metric

from container_backend.container import read_samples
from container_backend.machine import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.store.client import Store

_logger = logging.getLogger(__package__)
_SENT: Final = ".sent"


def log_metrics(store: Store, run_id: str, file: Path) -> None:
    """Log the readings that were not logged yet.

    A reading that two processes log is there once: stores know a metric by time, step and value.
    A disk that fails holds up no run: then there are fewer readings.

    Args:
        store: Of the run.
        run_id: The run.
        file: Of readings; it may be missing.

    Raises:
        TrackingUnreachable: The store does not take them; they are logged the next time.
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
    store.log_metrics(run_id, metrics)
    if metrics:
        try:
            write_whole(sent_file, str(samples[-1].step))
        except OSError as error:
            _logger.debug("%s is not written: %s", sent_file, error)
