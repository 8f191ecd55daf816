"""What kind of engine it is, by its own answers to ``GET /version`` and ``GET /info``. Pure.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemInfo
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from container_backend.engine.api import MINIMUM_API_VERSION
from container_backend.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine.host import EngineHost

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PODMAN: Final = "Podman Engine"
CONTAINERD: Final = "containerd"
# Docker names the store's snapshotter in `Driver`, and by this that it is containerd's.
_SNAPSHOTTER: Final = "io.containerd.snapshotter.v1"
# Limit → what of `/info` says that the engine can keep it.
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
    """What kind of engine it is.

    Attributes:
        version: For messages.
        api_version: Of the Engine API, the highest that it speaks.
        platform: ``os/architecture``, e.g. ``linux/amd64``.
        is_local: Whether paths of this machine mean the same to the engine.
        is_desktop: Whether it is Docker Desktop, where ``host`` networking is not this machine's.
        log_driver: What it does with a container's output by default.
        is_podman: Whether it is Podman's service of the same API.
        is_rootless: Whether it runs as an ordinary user, who is root in containers.
        has_user_namespaces: Whether it maps the users of containers to others (``userns-remap``).
        image_store: ``containerd``, or the name of its storage driver.
        cgroup_version: ``1`` or ``2``; empty where it does not say.
        cgroup_driver: ``cgroupfs`` or ``systemd``; ``none`` where it cannot limit anything.
        limits: Names of docker arguments that are limits, of those that it can keep.
        has_buildkit: Whether it builds with BuildKit.
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
    limits: frozenset[str]
    has_buildkit: bool


def facts_of(host: EngineHost, version: Mapping[str, Any], info: Mapping[str, Any]) -> EngineFacts:
    """What an engine is.

    Args:
        host: Its address.
        version: Its answer to ``GET /version``.
        info: Its answer to ``GET /info``.
    """
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
        limits=frozenset(name for name, key in _LIMITS.items() if info.get(key)),
        has_buildkit=not is_podman and _numbers(api_version) >= MINIMUM_API_VERSION,
    )


def require_api(host: EngineHost, facts: EngineFacts) -> None:
    """Refuse an engine that is too old for what every run needs.

    Raises:
        EngineUnavailable: It is too old.
    """
    if _numbers(facts.api_version) < MINIMUM_API_VERSION:
        raise EngineUnavailable(
            f"The Docker engine at {host.url} is too old: version {facts.version} "
            f"(API {facts.api_version}) has no BuildKit.",
            remedy="Docker Engine 18.09 (API 1.39) or newer is needed; install a current one.",
        )


def _numbers(api_version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in api_version.split("."))


def _is_this_machine(host: EngineHost, engine_name: str) -> bool:
    """A socket file is this machine's. A loopback address may be a tunnel: compare the names."""
    if host.is_socket:
        return True
    return urlsplit(host.url).hostname in _LOOPBACK and engine_name == socket.gethostname()
