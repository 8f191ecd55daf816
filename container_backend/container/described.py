"""An inspected container of a run, with all facts that are needed to finish the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from container_backend import labels_and_tags
from container_backend.container.marks import KEPT, mark_of
from container_backend.engine import parse_time, variables_in
from container_backend.machine import count_of, run_id_in, seconds_of, submission_in
from container_backend.masking import secrets_in

if TYPE_CHECKING:
    from collections.abc import Mapping

# The engine accepts any number; longer times overflow timers.
_LONGEST_GRACE_SECONDS: Final = 10**9


@dataclass(frozen=True)
class RunContainer:
    """A container of a run, from ``GET /containers/ID/json``.

    Attributes:
        state: ``State`` of the answer.
        environment: Variables of the program; may contain credentials.
        command: The program's command line, for a shell.
        has_gpu: The container has an NVIDIA GPU.
        cpus: The number of CPUs that the container may use; None for all.
        grace: Seconds between the stop signal and SIGKILL.
        entrypoint: The words before the shell; None if the shell does not show that it was started.
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
    entrypoint: tuple[str, ...] | None = None

    @property
    def run_id(self) -> str:
        """Empty if the container has no run."""
        return run_id_in(self.labels)

    @property
    def submission(self) -> str:
        """The name of the run's entry in the ledger; empty if the container has no run."""
        return submission_in(self.labels)

    @property
    def tracking_uri(self) -> str:
        """The address of the run's store, without credentials."""
        return self.labels.get(labels_and_tags.LABEL_TRACKING_URI, "")

    @property
    def ending(self) -> str:
        """The mark of the run, empty for none; see :mod:`container_backend.container.marks`."""
        return mark_of(self.name)

    @property
    def is_ours_to_finish(self) -> bool:
        """False if the container has no run, or its run is finished."""
        return bool(self.submission) and self.ending != KEPT

    @property
    def has_ended(self) -> bool:
        """True if the program has ended or was never started."""
        return self.state.get("Status") in {"exited", "dead", "created", "removing"}

    @property
    def was_started(self) -> bool:
        return self.started_at is not None

    @property
    def secrets(self) -> frozenset[bytes]:
        return secrets_in(self.environment)

    @property
    def logins(self) -> dict[str, str]:
        """The variables by which the client reached the store: not those of an image."""
        names = self.labels.get(labels_and_tags.LABEL_LOGINS, "").split(",")
        return {
            name: self.environment[name]
            for name in ("MLFLOW_TRACKING_URI", *names)
            if name in self.environment
        }

    @property
    def timeout(self) -> float | None:
        """In seconds."""
        return seconds_of(self.labels.get(labels_and_tags.LABEL_TIMEOUT))

    @property
    def retries(self) -> int:
        """How often to start the program again."""
        return count_of(self.labels.get(labels_and_tags.LABEL_RETRIES)) or 0

    @property
    def most_output(self) -> int | None:
        """How much output of the program is kept, in bytes; None for all."""
        return count_of(self.labels.get(labels_and_tags.LABEL_MOST_OUTPUT))

    @property
    def started_at(self) -> float | None:
        """Seconds since 1970, by the engine's clock."""
        return parse_time(self.state.get("StartedAt", ""))

    @property
    def finished_at(self) -> float | None:
        """Seconds since 1970, by the engine's clock."""
        return parse_time(self.state.get("FinishedAt", ""))


def read_container(inspected: Mapping[str, Any]) -> RunContainer:
    config = inspected["Config"]
    host = inspected.get("HostConfig") or {}
    environment = variables_in(inspected)
    words = [str(word) for word in config.get("Cmd") or [""]]
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
        entrypoint=_entrypoint(config, words),
    )


def _entrypoint(config: Mapping[str, Any], command: list[str]) -> tuple[str, ...] | None:
    """The entry point without the shell, which is its last word if it was chosen for the run."""
    if not any(labels_and_tags.REACHED in word for word in command[:-1]):
        return None
    words = tuple(map(str, config.get("Entrypoint") or ()))
    return words if command[0] == "sh" else words[:-1]


def _has_gpu(host: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """True for ``--gpus``, and for the older runtime and variable of NVIDIA."""
    requests = host.get("DeviceRequests") or []
    if any("gpu" in kinds for each in requests for kinds in each.get("Capabilities") or []):
        return True
    visible = environment.get("NVIDIA_VISIBLE_DEVICES", "")
    return host.get("Runtime") == "nvidia" and visible not in {"", "void", "none"}


def _cpus(host: Mapping[str, Any]) -> float | None:
    if nano := host.get("NanoCpus"):
        return int(nano) / 1e9
    if (quota := int(host.get("CpuQuota") or 0)) > 0:
        return quota / int(host.get("CpuPeriod") or 100_000)
    return None
