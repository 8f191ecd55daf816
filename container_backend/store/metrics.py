"""Log samples of a container's statistics as system metrics of its run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from container_backend.container import read_samples
from container_backend.machine import write_whole
from container_backend.store.client import Metric

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.store.client import Store

_logger = logging.getLogger(__package__)
_SENT: Final = ".sent"


def log_metrics(store: Store, run_id: str, file: Path) -> None:
    """Log the new samples of a file, which may be missing.

    Two processes may log the same sample: stores identify a metric by time, step and value. An
    error of the disk only loses samples.

    Raises:
        TrackingUnreachable: The store refuses; the next call logs the samples.
    """
    sent_file = file.with_name(file.name + _SENT)
    try:
        samples = read_samples(file)
        sent = int(sent_file.read_text()) if sent_file.exists() else -1
    except (OSError, ValueError) as error:
        _logger.debug("No samples in %s: %s", file, error)
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
            _logger.debug("%s cannot be written: %s", sent_file, error)
