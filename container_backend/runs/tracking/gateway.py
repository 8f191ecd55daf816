"""The address of this machine in a network of containers."""

from __future__ import annotations

import fcntl
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from container_backend.container import LOCALHOST
from container_backend.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import Engine

_DEFAULT: Final = "bridge"
_NAME_OPTION: Final = "com.docker.network.bridge.name"
_HOST: Final = "host"
# ioctl(2), netdevice(7): the address of an interface.
_SIOCGIFADDR: Final = 0x8915


def gateway_of(engine: Engine, network: str | None) -> str | None:
    """An IPv4 address of this machine that containers of a network reach, unless a firewall forbids it.

    Args:
        network: A name, or None for the engine's default.

    Returns:
        None if there is none: the engine is elsewhere, or its network is one of its own.
    """
    facts, name = engine.facts, network or _DEFAULT
    if not facts.is_local or facts.is_desktop or facts.is_rootless:
        return None
    if name == _HOST:
        return LOCALHOST
    if name == "none" or name.startswith("container:"):
        return None
    try:
        found = engine.networks.inspect(name)
    except EngineError:
        return None
    if found.get("Driver") != "bridge":
        return None
    options = found.get("Options") or {}
    interface = options.get(_NAME_OPTION) or f"br-{str(found.get('Id'))[:12]}"
    return _address_of(interface) or next(filter(_is_mine, _gateways(found)), None)


def _gateways(network: Mapping[str, Any]) -> list[str]:
    configured = (network.get("IPAM") or {}).get("Config") or []
    return [str(each["Gateway"]) for each in configured if "." in str(each.get("Gateway", ""))]


def _address_of(interface: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked, suppress(OSError):
        name = struct.pack("256s", interface.encode()[:15])
        return socket.inet_ntoa(fcntl.ioctl(asked.fileno(), _SIOCGIFADDR, name)[20:24])
    return None


def _is_mine(address: str) -> bool:
    """True if this machine has the address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried, suppress(OSError):
        tried.bind((address, 0))
        return True
    return False
