"""Files that no program is handed: sockets, pipes, devices, and whatever has the engine's socket in it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.errors import InvalidProject

if TYPE_CHECKING:
    from collections.abc import Iterable

# A mount of such a file reaches the service or device behind it, even read-only.
_SPECIAL_FILES: Final = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a pipe",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}
# Sockets of engines, also of engines that do not run this program. A user of such a socket is root.
_ENGINE_SOCKETS: Final = (
    Path("/var/run/docker.sock"),
    Path("/run/containerd/containerd.sock"),
    Path("/run/podman/podman.sock"),
)


def check_special_files(where: str, paths: Iterable[Path]) -> None:
    """Raise InvalidProject for sockets, pipes, devices and links to them."""
    for path in paths:
        kind = _SPECIAL_FILES.get(stat.S_IFMT(path.stat().st_mode)) if path.exists() else None
        if kind:
            raise InvalidProject(
                f"{where}: the path '{path}' is {kind}; a program gets files and folders only."
            )


def engine_sockets(url: str) -> tuple[Path, ...]:
    """The sockets of engines on this machine, with the one at the address in use."""
    if url.startswith("unix://"):
        return (Path(url.removeprefix("unix://")), *_ENGINE_SOCKETS)
    return _ENGINE_SOCKETS


def check_engine(where: str, paths: Iterable[Path], sockets: Iterable[Path]) -> None:
    """Raise InvalidProject for sockets of engines and for folders that contain one."""
    for socket in sockets:
        places = {place for form in (socket, socket.resolve()) for place in (form, *form.parents)}
        for path in paths:
            if path.resolve() in places or any(_is_same(path, place) for place in places):
                raise InvalidProject(
                    f"{where}: with '{path}', the program could use the engine at '{socket}', "
                    "which is as good as root.",
                    remedy="To allow it: -c '{\"allow_engine\": true}'.",
                )


def _is_same(path: Path, other: Path) -> bool:
    """True also for another mount of the same folder."""
    try:
        return path.samefile(other)
    except OSError:
        return False
