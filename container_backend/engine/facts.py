"""The facts of an engine, from its answers to ``GET /version`` and ``GET /info``. Pure.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemInfo
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from container_backend.engine.api import MINIMUM_API_VERSION
from container_backend.engine.sdk import version_lt
from container_backend.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from container_backend.engine.host import EngineHost

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PODMAN: Final = "Podman Engine"
CONTAINERD: Final = "containerd"
# The driver type of containerd's image store; `Driver` names its snapshotter.
_SNAPSHOTTER: Final = "io.containerd.snapshotter.v1"
# Limit → the key of `/info` that is true if the engine can enforce the limit.
_LIMITS: Final = {
    "memory": "MemoryLimit",
    "memory-swap": "SwapLimit",
    "cpus": "CpuCfsQuota",
    "cpu-shares": "CPUShares",
    "cpuset-cpus": "CPUSet",
    "pids-limit": "PidsLimit",
}


@dataclass(frozen=True)
class EngineFacts:
    """The facts of an engine.

    Attributes:
        api_version: The highest version of the Engine API that the engine supports.
        platform: ``os/architecture``, e.g. ``linux/amd64``.
        is_local: Paths of this machine are the same for the engine.
        is_desktop: Docker Desktop, where ``host`` networking is not this machine's.
        log_driver: The default log driver of containers.
        is_podman: Podman's service of the same API.
        is_rootless: The engine runs as an ordinary user, who is root in containers.
        has_user_namespaces: The engine maps users of containers to others (``userns-remap``).
        image_store: ``containerd``, or the name of the storage driver.
        cgroup_version: ``1`` or ``2``; empty if unknown.
        cgroup_driver: ``cgroupfs`` or ``systemd``; ``none`` if the engine cannot limit anything.
        memory: Of the engine's machine, in bytes; 0 if unknown.
        limits: The docker arguments for limits that the engine can enforce.
        has_buildkit: The engine builds with BuildKit.
        id: Known only to those who can use the engine; empty if the engine has none.
    """

    version: str
    api_version: str
    platform: str
    is_local: bool
    is_desktop: bool
    log_driver: str
    is_podman: bool
    is_rootless: bool
    has_user_namespaces: bool
    image_store: str
    cgroup_version: str
    cgroup_driver: str
    memory: int
    limits: frozenset[str]
    has_buildkit: bool
    id: str


def facts_of(host: EngineHost, version: Mapping[str, Any], info: Mapping[str, Any]) -> EngineFacts:
    """The facts in the answers to ``GET /version`` and ``GET /info``."""
    is_desktop = "Docker Desktop" in str(info.get("OperatingSystem", ""))
    is_podman = any(part.get("Name") == _PODMAN for part in version.get("Components") or ())
    security = {part for option in info.get("SecurityOptions") or () for part in option.split(",")}
    status = dict(pair for pair in info.get("DriverStatus") or () if len(pair) == 2)  # noqa: PLR2004
    is_containerd = status.get("driver-type") == _SNAPSHOTTER
    api_version = str(version["ApiVersion"])
    return EngineFacts(
        version=str(version.get("Version", "unknown")),
        api_version=api_version,
        platform=f"{version.get('Os', 'linux')}/{version.get('Arch', 'amd64')}",
        is_local=is_desktop or _is_this_machine(host, str(info.get("Name", ""))),
        is_desktop=is_desktop,
        log_driver=str(info.get("LoggingDriver", "")),
        is_podman=is_podman,
        is_rootless="name=rootless" in security,
        has_user_namespaces="name=userns" in security,
        image_store=CONTAINERD if is_containerd else str(info.get("Driver", "")),
        cgroup_version=str(info.get("CgroupVersion", "")),
        cgroup_driver=str(info.get("CgroupDriver", "")),
        memory=int(info.get("MemTotal") or 0),
        limits=frozenset(name for name, key in _LIMITS.items() if info.get(key)),
        has_buildkit=not is_podman and not version_lt(api_version, MINIMUM_API_VERSION),
        id=str(info.get("ID") or ""),
    )


def unkept_limits(names: Iterable[str], facts: EngineFacts) -> list[str]:
    """Those docker arguments that are limits which the engine cannot enforce."""
    return sorted(name for name in names if name in _LIMITS and name not in facts.limits)


def require_api(host: EngineHost, facts: EngineFacts) -> None:
    """Raise EngineUnavailable if the engine is too old for BuildKit."""
    if version_lt(facts.api_version, MINIMUM_API_VERSION):
        raise EngineUnavailable(
            f"The Docker engine at {host.url} is too old: version {facts.version} "
            f"(API {facts.api_version}) has no BuildKit.",
            remedy="Docker Engine 18.09 (API 1.39) or newer is needed; install a current one.",
        )


def _is_this_machine(host: EngineHost, engine_name: str) -> bool:
    """True for a socket file; a loopback address may be a tunnel, so the host names must match."""
    if host.is_socket:
        return True
    return urlsplit(host.url).hostname in _LOOPBACK and engine_name == socket.gethostname()
