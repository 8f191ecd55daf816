"""What a program is given beyond a container of its own, and who may ask for it.

A project in a folder of the user's own may ask for everything: the user can read it, and runs it on
purpose. One that was fetched, is an image or comes out of a run's record is another person's: it
may ask for its own files and for addresses, unless the user trusts it.
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
    """A kind of privilege: what asks for it, and who may.

    The user may type all of them but the refused ones.

    Attributes:
        kind: Its name.
        contained: Docker arguments that a record may name, too: they stay inside of the container.
        reaching: Docker arguments that reach this machine: a record may name them if it is trusted.
        project: Keys of MLproject that ask for it. A project in the user's own folder may; any
            other needs the switch.
        switch: What the user types to allow it to a project that is another person's.
        record_settings: Keys of the backend config that a record may have.
        user_settings: Keys of the backend config that a record may have if it is trusted.
        refused: Docker arguments that are refused to the user, too → why.
    """

    kind: str
    contained: tuple[str, ...] = ()
    reaching: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    switch: str = ""
    record_settings: tuple[str, ...] = ()
    user_settings: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


# What is in no row is refused to a record. `env` is contained with a value; a name alone
# asks for a variable of the user.
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
            "entrypoint": "the command is the entry point's of the project",
            "pull": "images are pulled where they are missing",
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
# Unless the user types `privileged`, or security options of their own.
SECURITY_OPTIONS: Final = ("no-new-privileges",)
# Who programs are where nothing needs the user's number: no person has this one on most systems.
_UNPRIVILEGED: Final = (1000, 1000)
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


def user_of_program(*, writes: bool, uid: int | None = None) -> tuple[int, int]:
    """The user and the group that a program runs as.

    They are the invoking user's, so that what it writes to a folder of this machine belongs to
    them. Root is given only where root writes to such a folder.

    Args:
        writes: The program is given a folder that it may write to.
        uid: Instead of this process's user, for tests.
    """
    if not hasattr(os, "getuid"):
        return _UNPRIVILEGED
    uid = os.getuid() if uid is None else uid
    return _UNPRIVILEGED if uid == 0 and not writes else (uid, os.getgid())


def network_of_program(typed: str | None, *, only_here: bool) -> str | None:
    """The network of the user's choice, or this machine's; None for the engine's default.

    Args:
        typed: What the user types.
        only_here: The tracking server listens on this machine alone.
    """
    return typed or ("host" if only_here else None)


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
            remedy=(f"Give the variables that it needs anew: {typed}. " if variables else "")
            + "If you trust it, allow it the same on yours: --trust.",
        )
