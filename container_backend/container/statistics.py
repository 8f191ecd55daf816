"""Converts an engine's statistics of a container to MLflow's system metrics and to table cells.

Names and units are those of MLflow's monitors (``mlflow/system_metrics/metrics/``), which measure the
machine of a program. MLflow shows metrics that begin with ``system/`` on a tab. A container has no
disk of its own, so ``disk_read_megabytes`` and ``disk_write_megabytes`` replace MLflow's metrics of
disk usage. Disk and network metrics count from the start of the container.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerStats
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from container_backend.machine import open_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PREFIX: Final = "system/"
NVIDIA_QUERY: Final[tuple[str, ...]] = (
    "nvidia-smi",
    "--query-gpu=index,utilization.gpu,memory.used,memory.total,power.draw,power.limit",
    "--format=csv,noheader,nounits",
)
_NVIDIA_NUMBERS: Final = 5  # after the index
_MEGABYTE: Final = 1e6  # MLflow's
_MEBIBYTE: Final = 2**20  # nvidia-smi's
_COUNTERS_END: Final = 2**64  # the engine's counters are unsigned integers


@dataclass(frozen=True)
class Usage:
    """The resources that a container uses, as ``docker stats`` shows them; None if unknown.

    Attributes:
        cpu_percent: 100 is one core.
        memory_bytes: Without the kernel's cache of files.
        memory_limit: In bytes: the limit of the container, or the memory of the machine.
    """

    cpu_percent: float | None
    memory_bytes: int | None
    memory_limit: int | None


@dataclass(frozen=True)
class Sample:
    """Metrics at one time.

    Attributes:
        at: In seconds since 1970.
        step: The number of the sample in the run.
    """

    at: float
    step: int
    values: Mapping[str, float]


def values_of(
    raw: Mapping[str, Any], before: Mapping[str, Any] | None, *, cpus: float | None = None
) -> dict[str, float]:
    """The system metrics of a reading, without unknown ones.

    Args:
        raw: The reading; empty for a container that has ended.
        before: The previous reading. The CPU metric needs it, because the engine counts CPU time.
        cpus: The number of CPUs that the container may use (``--cpus``, ``--cpuset-cpus``): 100 %
            is all of them, and higher values are cut off. None: 100 % is all CPUs of the machine,
            as in MLflow's own metric.
    """
    cores = _number(raw, "cpu_stats", "online_cpus")
    usable = min(cpus / cores, 1.0) if cpus and cores else 1.0
    busy = _percent(_cpu_share(raw, before), usable)
    used = _memory_used(raw)
    return _known(
        {
            "cpu_utilization_percentage": None if busy is None else min(busy, 100.0),
            "system_memory_usage_megabytes": _megabytes(used),
            "system_memory_usage_percentage": _percent(used, _number(raw, "memory_stats", "limit")),
            "network_receive_megabytes": _megabytes(_network(raw, "rx_bytes")),
            "network_transmit_megabytes": _megabytes(_network(raw, "tx_bytes")),
            "disk_read_megabytes": _megabytes(_disk(raw, "read")),
            "disk_write_megabytes": _megabytes(_disk(raw, "write")),
        }
    )


def usage_of(raw: Mapping[str, Any], before: Mapping[str, Any] | None) -> Usage:
    """The usage in a reading; the CPU percentage needs the previous reading."""
    cores = _number(raw, "cpu_stats", "online_cpus")
    cpu = _percent(_cpu_share(raw, before), 1 / cores if cores else None)
    return Usage(cpu, _memory_used(raw), _number(raw, "memory_stats", "limit") or None)


def gpu_values(output: str) -> dict[str, float]:
    """The system metrics in the output of :data:`NVIDIA_QUERY`, which has one line for each GPU.

    Missing values (``[N/A]``, ``[Not Supported]``) and other lines, such as errors, are left out.
    """
    values: dict[str, float | None] = {}
    for line in output.splitlines():
        index, *rest = (cell.strip() for cell in line.split(","))
        if len(rest) != _NVIDIA_NUMBERS or not (index.isascii() and index.isdecimal()):
            continue
        busy, used, total, power, most = map(_parsed, rest)
        values |= {
            f"gpu_{index}_utilization_percentage": busy,
            f"gpu_{index}_memory_usage_megabytes": _megabytes(used, _MEBIBYTE),
            f"gpu_{index}_memory_usage_percentage": _percent(used, total),
            f"gpu_{index}_power_usage_watts": power,
            f"gpu_{index}_power_usage_percentage": _percent(power, most),
        }
    return _known(values)


def append_sample(file: Path, sample: Sample) -> None:
    """Append a sample to a file, in one write, so that a kill cannot leave half a line."""
    values = {"at": sample.at, "step": sample.step, "values": dict(sample.values)}
    line = json.dumps(values).encode() + b"\n"
    with open_private(file, "ab", buffering=0) as samples:
        if samples.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))


def read_samples(file: Path) -> list[Sample]:
    """The samples of a file without its invalid lines; a missing file has no samples."""
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [sample for line in lines if (sample := _sample(line)) is not None]


def _sample(line: bytes) -> Sample | None:
    try:
        value = json.loads(line)
        values = {str(name): float(number) for name, number in value["values"].items()}
        return Sample(float(value["at"]), int(value["step"]), values)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def _cpu_share(raw: Mapping[str, Any], before: Mapping[str, Any] | None) -> float | None:
    """The container's share of the machine's CPU time since the previous reading; 1 is all CPUs.

    None if a counter went back, as after a restart of the container.
    """
    ours = _grown(raw, before, "cpu_stats", "cpu_usage", "total_usage")
    everyones = _grown(raw, before, "cpu_stats", "system_cpu_usage")
    return ours / everyones if ours is not None and everyones else None


def _grown(raw: Mapping[str, Any], before: Mapping[str, Any] | None, *path: str) -> int | None:
    now, then = _number(raw, *path), _number(before, *path)
    return now - then if now is not None and then is not None and now >= then else None


def _memory_used(raw: Mapping[str, Any]) -> int | None:
    """In bytes, by the rule of ``docker stats``: calculateMemUsageUnixNoCache of Docker's client.

    The first name is that of cgroup v1, the second that of v2. An ended container uses 0.
    """
    used = _number(raw, "memory_stats", "usage")
    for name in ("total_inactive_file", "inactive_file"):
        cache = _number(raw, "memory_stats", "stats", name)
        if used and cache is not None and cache < used:
            return used - cache
    return used or None


def _network(raw: Mapping[str, Any], key: str) -> int | None:
    """The sum of all networks; None for the machine's network, which the engine does not count."""
    networks = _at(raw, "networks")
    names = networks if isinstance(networks, Mapping) else ()
    return _sum(_number(networks, name, key) for name in names)


def _disk(raw: Mapping[str, Any], operation: str) -> int | None:
    """The sum of all disks; None if the kernel does not count, which is not 0.

    The operations are "Read" and "Write" with cgroup v1, "read" and "write" with v2.
    """
    found = _at(raw, "blkio_stats", "io_service_bytes_recursive")
    entries = found if isinstance(found, list) else ()
    ours = (entry for entry in entries if str(_at(entry, "op")).lower() == operation)
    return _sum(_number(entry, "value") for entry in ours)


def _at(raw: object, *path: str) -> object:
    for name in path:
        raw = raw.get(name) if isinstance(raw, Mapping) else None
    return raw


def _number(raw: object, *path: str) -> int | None:
    value = _at(raw, *path)
    if not isinstance(value, int | float) or not 0 <= value < _COUNTERS_END:
        return None
    return int(value)


def _parsed(cell: str) -> float | None:
    try:
        number = round(float(cell), 2)  # nvidia-smi prints two decimals
    except ValueError:
        return None
    return number if 0 <= number < _COUNTERS_END else None


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _percent(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else 100 * part / whole


def _megabytes(count: float | None, unit: int = 1) -> float | None:
    return None if count is None else count * unit / _MEGABYTE


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {PREFIX + name: value for name, value in values.items() if value is not None}
