"""A container of a run, as the engine describes it: all that is needed to finish the run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from container_backend import labels_and_tags
from container_backend.container.marks import KEPT, mark_of
from container_backend.engine import parse_time, variables_in
from container_backend.machine import count_of, run_id_in, seconds_of, submission_in
from container_backend.masking import secrets_in

if TYPE_CHECKING:
    from collections.abc import Mapping

# A timer takes no more than some hundred years; the engine takes any number.
_LONGEST_GRACE_SECONDS: Final = 10**9


@dataclass(frozen=True)
class RunContainer:
    """What ``GET /containers/ID/json`` says of a container of ours.

    Attributes:
        id: Of the container.
        name: Its name now.
        labels: See :mod:`container_backend.labels_and_tags`.
        state: Its ``State``.
        environment: Of the program; may hold credentials.
        command: The program's, for a shell.
        has_gpu: Whether it was given one of NVIDIA's.
        cpus: How many CPUs it may use; None for all.
        grace: Seconds that its program has when it is to stop.
        entrypoint: The image's own, as JSON, where it must show by a mark that it runs the command;
            else empty.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    state: Mapping[str, Any]
    environment: Mapping[str, str] = field(repr=False)
    command: str
    has_gpu: bool = False
    cpus: float | None = None
    grace: int = 10
    entrypoint: str = ""

    @property
    def run_id(self) -> str:
        """Of the MLflow run; empty where the container is of none."""
        return run_id_in(self.labels)

    @property
    def submission(self) -> str:
        """The name of its run's entry in the ledger; empty where it is not a run's."""
        return submission_in(self.labels)

    @property
    def tracking_uri(self) -> str:
        """Of the run's store, without credentials."""
        return self.labels.get(labels_and_tags.LABEL_TRACKING_URI, "")

    @property
    def ending(self) -> str:
        """The mark of its run, empty for none; see :mod:`container_backend.container.marks`."""
        return mark_of(self.name)

    @property
    def is_ours_to_finish(self) -> bool:
        """False for a container of no run, and for one whose run is finished."""
        return bool(self.submission) and self.ending != KEPT

    @property
    def has_ended(self) -> bool:
        """Whether its program will not go on: it ended, or was never started."""
        return self.state.get("Status") in {"exited", "dead", "created", "removing"}

    @property
    def was_started(self) -> bool:
        """Whether its program ever ran."""
        return self.started_at is not None

    @property
    def secrets(self) -> frozenset[bytes]:
        """What must not be seen in its output."""
        return secrets_in(self.environment)

    @property
    def timeout(self) -> float | None:
        """Seconds that its program may take."""
        return seconds_of(self.labels.get(labels_and_tags.LABEL_TIMEOUT))

    @property
    def retries(self) -> int:
        """How many times more its program may be started."""
        return count_of(self.labels.get(labels_and_tags.LABEL_RETRIES)) or 0

    @property
    def started_at(self) -> float | None:
        """Seconds since 1970, by the engine's clock."""
        return parse_time(self.state.get("StartedAt", ""))

    @property
    def finished_at(self) -> float | None:
        """Seconds since 1970, by the engine's clock."""
        return parse_time(self.state.get("FinishedAt", ""))


def read_container(inspected: Mapping[str, Any]) -> RunContainer:
    """Read the engine's description of a container."""
    config = inspected["Config"]
    host = inspected.get("HostConfig") or {}
    environment = variables_in(inspected)
    words = [str(word) for word in config.get("Cmd") or [""]]
    leaves_mark = any(labels_and_tags.REACHED in word for word in words[:-1])
    return RunContainer(
        id=str(inspected["Id"]),
        name=str(inspected["Name"]).removeprefix("/"),
        labels=dict(config.get("Labels") or {}),
        state=dict(inspected["State"]),
        environment=environment,
        command=words[-1],
        has_gpu=_has_gpu(host, environment),
        cpus=_cpus(host),
        grace=min(max(0, int(config.get("StopTimeout") or 0)), _LONGEST_GRACE_SECONDS),
        entrypoint=json.dumps(config.get("Entrypoint") or []) if leaves_mark else "",
    )


def _has_gpu(host: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Asked for (``--gpus``), or by the older way of a runtime and a variable."""
    for request in host.get("DeviceRequests") or []:
        if any("gpu" in kinds for kinds in request.get("Capabilities") or []):
            return True
    visible = environment.get("NVIDIA_VISIBLE_DEVICES", "")
    return host.get("Runtime") == "nvidia" and visible not in {"", "void", "none"}


def _cpus(host: Mapping[str, Any]) -> float | None:
    if nano := host.get("NanoCpus"):
        return int(nano) / 1e9
    if (quota := int(host.get("CpuQuota") or 0)) > 0:
        return quota / int(host.get("CpuPeriod") or 100_000)
    return None
