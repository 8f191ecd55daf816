"""What a project may ask of this machine.

A project in a folder of the user's own may ask for everything: the user can read it, and runs it on
purpose. One that was fetched, or that comes out of a run's record, is another person's: it may ask
for its own files and for addresses, unless the user trusts it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.errors import InvalidConfig, InvalidProject

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence


# What of a record stays inside of the container and says how a run goes; all else is asked for.
_HARMLESS_ARGS: Final = frozenset(
    {
        *("add-host", "cap-drop", "cpu-shares", "cpus", "cpuset-cpus", "dns", "gpus", "hostname"),
        *("label", "memory", "memory-swap", "pids-limit", "platform", "read-only", "shm-size"),
        *("tmpfs", "ulimit", "workdir"),
    }
)
_HARMLESS_CONFIG: Final = frozenset(
    {
        *("grace", "image_repository", "keep", "record_code", "retries", "retry_program"),
        *("stop_signal", "timeout"),
    }
)
# A mount of these reaches what is behind them, read-only or not.
_SPECIAL_FILES: Final = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a pipe",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}
# Who may write to one of these is root. Engines listen there, whichever one is used for the run.
_ENGINE_SOCKETS: Final = (
    Path("/var/run/docker.sock"),
    Path("/run/containerd/containerd.sock"),
    Path("/run/podman/podman.sock"),
)


@dataclass(frozen=True)
class Permissions:
    """What the user lets one project ask for.

    Attributes:
        trusted: Everything but the engine.
        is_repeated: The project comes out of a run's record.
    """

    trusted: bool
    is_repeated: bool = False

    @property
    def reason(self) -> str:
        """Why a project is not trusted."""
        return "this project " + (
            "comes from a run's record" if self.is_repeated else "was fetched"
        )

    @property
    def remedy(self) -> str:
        """How the user trusts it."""
        option = "--trust" if self.is_repeated else "-c '{\"trust_project\": true}'"
        return f"If you trust it, allow it: {option}."


def check_volumes(where: str, volumes: Iterable[str], permissions: Permissions) -> None:
    """Refuse volumes of a ``docker_env``, each ``folder here:folder there``.

    Raises:
        InvalidProject: The project is not trusted, and has some.
    """
    named = [volume.partition(":")[0] for volume in volumes]
    if named and not permissions.trusted:
        raise InvalidProject(
            f"{where}, key 'volumes': {permissions.reason}, and wants to see {', '.join(named)} "
            "of this machine.",
            remedy=permissions.remedy,
        )


def check_variables(
    where: str, variables: Iterable[str], given: Container[str], permissions: Permissions
) -> None:
    """Refuse variables of a ``docker_env`` whose values would be the user's.

    Args:
        where: File and key, for messages.
        variables: ``NAME=VALUE``, or ``NAME`` for the user's value.
        given: Names that the user gives the program anyway.
        permissions: Of the project.

    Raises:
        InvalidProject: The project is not trusted, and names some.
    """
    named = [name for name in variables if "=" not in name and name not in given]
    if named and not permissions.trusted:
        typed = " ".join(f"-A env={name}=…" for name in named)
        raise InvalidProject(
            f"{where}, key 'environment': {permissions.reason}, and wants the values of "
            f"{', '.join(named)} of your environment.",
            remedy=f"Give those that it needs: {typed}. {permissions.remedy}",
        )


def check_special_files(where: str, paths: Iterable[Path]) -> None:
    """Refuse paths that are, or lead to, neither a file nor a folder.

    Raises:
        InvalidProject: One is a socket, a pipe or a device.
    """
    for path in paths:
        kind = _SPECIAL_FILES.get(stat.S_IFMT(path.stat().st_mode)) if path.exists() else None
        if kind:
            raise InvalidProject(
                f"{where}: the path '{path}' is {kind}; a program is handed files and folders only."
            )


def engine_sockets(url: str) -> tuple[Path, ...]:
    """Where engines listen on this machine; ``url`` is the address of the one that is used."""
    if url.startswith("unix://"):
        return (Path(url.removeprefix("unix://")), *_ENGINE_SOCKETS)
    return _ENGINE_SOCKETS


def check_engine(where: str, paths: Iterable[Path], sockets: Iterable[Path]) -> None:
    """Refuse the socket of an engine, and folders that have one in them.

    Raises:
        InvalidProject: A path is or contains one.
    """
    for socket in sockets:
        places = {place for form in (socket, socket.resolve()) for place in (form, *form.parents)}
        for path in paths:
            if path.resolve() in places or any(_is_same(path, place) for place in places):
                raise InvalidProject(
                    f"{where}: with '{path}', the program could use the engine at '{socket}', "
                    "which is as good as root.",
                    remedy="Allow it, if it must: -c '{\"allow_engine\": true}'.",
                )


def _is_same(path: Path, other: Path) -> bool:
    """True for another mount of the same folder, too."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def groups_of_user(sockets: Iterable[Path]) -> list[int]:
    """The groups of this process but for those that the sockets of engines belong to."""
    if not hasattr(os, "getgroups"):
        return []
    of_engines = {socket.stat().st_gid for socket in sockets if socket.exists()}
    return [group for group in os.getgroups() if group not in of_engines]


def check_record(
    where: str, docker_args: Mapping[str, Sequence[object]], config: Mapping[str, object]
) -> None:
    """Refuse what lets a run of a record reach into this machine.

    Args:
        where: Which run, for messages.
        docker_args: Long name → values, of those that the user did not type anew.
        config: Backend config of the record.

    Raises:
        InvalidConfig: Something does.
    """
    variables = [str(each) for each in docker_args.get("env", ()) if "=" not in str(each)]
    reaching = [
        f"docker argument '{name}'" for name in docker_args if name not in {"env", *_HARMLESS_ARGS}
    ]
    reaching += [
        f"'{name}' in the backend config"
        for name, value in config.items()
        if value and name not in _HARMLESS_CONFIG
    ]
    if variables:
        reaching.append(f"the values of {', '.join(variables)} of the environment")
    if reaching:
        typed = " ".join(f"-A env={name}" for name in variables)
        raise InvalidConfig(
            f"{where} was allowed to reach into its machine: {', '.join(reaching)}.",
            remedy=(f"Give the variables that it needs anew: {typed}. " if variables else "")
            + "If you trust it, allow it the same on yours: --trust.",
        )
