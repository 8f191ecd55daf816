"""The privileges of a program outside its container, and who may ask for them.

A project in the user's own folder may ask for everything: the user can read the project and chose
to run it. A project that was fetched, is an image or comes from a run's record belongs to another
person: it may ask for its own files and for addresses only, unless the user trusts it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.errors import InvalidConfig, InvalidProject

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Privilege:
    """A kind of privilege; the user may ask for everything that is not ``refused``.

    Attributes:
        contained: Docker arguments that stay inside the container: a record may name them.
        reaching: Docker arguments that reach this machine: only a trusted record may name them.
        project: Keys of MLproject that ask for the privilege. A project that is not in the user's
            own folder needs the switch.
        switch: The setting that allows the privilege to another person's project.
        record_settings: Keys of the backend config that a record may have.
        user_settings: Keys of the backend config that only a trusted record may have.
        refused: Docker arguments that are refused to every user → the reason.
    """

    kind: str
    contained: tuple[str, ...] = ()
    reaching: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    switch: str = ""
    record_settings: tuple[str, ...] = ()
    user_settings: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


# A record may not ask for anything outside this table. `env` is contained if it has a value; a
# name alone asks for a variable of the user.
PRIVILEGES: Final = (
    Privilege("user", reaching=("user",)),
    Privilege("groups", reaching=("group-add",)),
    Privilege("capabilities", contained=("cap-drop",), reaching=("cap-add", "privileged")),
    Privilege("security options", reaching=("security-opt",)),
    Privilege("namespaces", reaching=("ipc", "pid")),
    Privilege("runtime", reaching=("runtime",)),
    Privilege("devices", contained=("gpus",), reaching=("device",)),
    Privilege(
        "limits",
        contained=(
            *("cpu-shares", "cpus", "cpuset-cpus", "memory", "memory-swap", "pids-limit"),
            *("shm-size", "ulimit"),
        ),
    ),
    Privilege(
        "mounts",
        contained=("read-only", "tmpfs"),
        reaching=("mount", "volume"),
        project=("docker_env.volumes", "parameters.NAME.default"),
        switch="trust_project",
        user_settings=("storage_dir",),
    ),
    Privilege(
        "variables",
        contained=("env",),
        reaching=("env-file",),
        project=("docker_env.environment",),
        switch="trust_project",
    ),
    Privilege("networks", contained=("add-host", "dns", "hostname"), reaching=("network",)),
    Privilege("the engine's socket", switch="allow_engine", user_settings=("allow_engine",)),
    Privilege("trust", user_settings=("trust_project", "docker_args")),
    Privilege(
        "image",
        contained=("platform",),
        record_settings=("image_repository",),
        user_settings=(
            *("base_image", "build_secrets", "conda_base_image", "lock", "pull", "push"),
            *("python_match", "rebuild", "system_packages", "template"),
        ),
        refused={
            "entrypoint": "the command is that of the project's entry point",
            "pull": "missing images are pulled",
        },
    ),
    Privilege(
        "course of the run",
        contained=("label", "workdir"),
        record_settings=(
            *("grace", "keep", "record_code", "retries", "retry_program", "stop_signal", "timeout"),
        ),
        user_settings=("detach",),
        refused={
            "restart": "a run is started once; start another",
            "cidfile": "the container's id is a tag of the run",
        },
    ),
)
CONTAINED_ARGS: Final = frozenset(name for row in PRIVILEGES for name in row.contained)
RECORD_SETTINGS: Final = frozenset(name for row in PRIVILEGES for name in row.record_settings)
REFUSED_ARGS: Final = {name: why for row in PRIVILEGES for name, why in row.refused.items()}
# The default, unless the user types `privileged` or other security options.
SECURITY_OPTIONS: Final = ("no-new-privileges",)
# User and group of a program that root starts and that does not need root.
_UNPRIVILEGED: Final = (1000, 1000)
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


@dataclass(frozen=True)
class Permissions:
    """What one project may ask for.

    Attributes:
        trusted: The project may ask for everything except the engine.
        is_repeated: The project comes from a run's record.
    """

    trusted: bool
    is_repeated: bool = False

    @property
    def reason(self) -> str:
        """Why a project is not trusted."""
        origin = "comes from a run's record" if self.is_repeated else "was fetched"
        return f"this project {origin}"

    @property
    def remedy(self) -> str:
        """How the user can trust the project."""
        option = "--trust" if self.is_repeated else "-c '{\"trust_project\": true}'"
        return f"If you trust it, allow it: {option}."


def check_volumes(where: str, volumes: Iterable[str], permissions: Permissions) -> None:
    """Raise InvalidProject for volumes (``source:target``) of a project that is not trusted."""
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
    """Raise InvalidProject if a project that is not trusted asks for the user's variables.

    Args:
        where: File and key, for messages.
        variables: ``NAME=VALUE``, or ``NAME`` for the user's value.
        given: Names that the user passes to the program anyway.
    """
    named = [name for name in variables if "=" not in name and name not in given]
    if named and not permissions.trusted:
        typed = " ".join(f"-A env={name}=…" for name in named)
        raise InvalidProject(
            f"{where}, key 'environment': {permissions.reason}, and wants the values of "
            f"{', '.join(named)} of your environment.",
            remedy=f"Pass the values that it needs: {typed}. {permissions.remedy}",
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


def user_of_program(*, writes: bool, uid: int | None = None) -> tuple[int, int]:
    """The user and the group that a program runs as.

    A program runs as the user who starts it, so that this user owns the files it writes. It runs
    as root only if root starts it and it writes to a folder of this machine.

    Args:
        writes: The program gets a folder that it may write to.
        uid: Replaces this process's user in tests.
    """
    uid = os.getuid() if uid is None else uid
    return _UNPRIVILEGED if uid == 0 and not writes else (uid, os.getgid())


def network_of_program(typed: str | None, *, only_here: bool) -> str | None:
    """The user's network, or this machine's for a tracking server that listens only here."""
    return typed or ("host" if only_here else None)


def groups_of_user(sockets: Iterable[Path]) -> list[int]:
    """The groups of this process without the groups that own sockets of engines."""
    of_engines = {socket.stat().st_gid for socket in sockets if socket.exists()}
    return [group for group in os.getgroups() if group not in of_engines]


def check_record(
    where: str, docker_args: Mapping[str, Sequence[object]], config: Mapping[str, object]
) -> None:
    """Raise InvalidConfig if a run's record reaches into this machine.

    Args:
        where: The run, for messages.
        docker_args: Long name → values, without those that the user typed again.
        config: Backend config of the record.
    """
    variables = [str(each) for each in docker_args.get("env", ()) if "=" not in str(each)]
    reaching = [f"docker argument '{name}'" for name in docker_args if name not in CONTAINED_ARGS]
    reaching += [
        f"'{name}' in the backend config"
        for name, value in config.items()
        if value and name not in RECORD_SETTINGS
    ]
    if variables:
        reaching.append(f"the values of {', '.join(variables)} of the environment")
    if reaching:
        typed = " ".join(f"-A env={name}" for name in variables)
        raise InvalidConfig(
            f"{where} was allowed to reach into its machine: {', '.join(reaching)}.",
            remedy=(f"Pass the variables that it needs again: {typed}. " if variables else "")
            + "If you trust it, allow the same on this machine: --trust.",
        )
