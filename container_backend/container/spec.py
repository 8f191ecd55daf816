"""The specification of a run's container."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.errors import InvalidConfig
from container_backend.labels_and_tags import CODE_DIRECTORY, HOME_DIRECTORY
from container_backend.masking import masked, secrets_in
from container_backend.privileges import user_of_program
from container_backend.project import Owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from container_backend.container.docker_args import DockerArgs

# Folders of the image that a mount must not hide.
_TAKEN: Final = ("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin",
                 "/sys", "/usr", "/mlflow")  # fmt: skip


@dataclass(frozen=True)
class ContainerSpec:
    """The specification of a container.

    Attributes:
        name: Known before the creation: the container can be found if the engine's answer is lost.
        command: Command line for a shell.
        environment: Variables; may contain credentials.
        labels: The facts that another process needs to finish the run.
        mounts: Files and folders of this machine, at the same paths, read-only.
        copies: Files of this machine that are copied to the same paths: logins and certificates.
        owner: The user who runs the program and owns the code.
        network: None for the engine's default.
        groups: Supplementary groups of the user.
        entrypoint: Replaces the image's entry point; None for the image's own.
        stop_seconds: Seconds before SIGKILL, also for other clients of the engine.
        python_path: The image's PYTHONPATH.
        awaits_port: The shell waits until a second program listens at this port of the loopback
            address; 0 for none.
        volumes: Volume → path: project folders that steps see, too.
        directory: The folder of the project, and the program's working directory.
    """

    name: str
    image: str
    command: str
    environment: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str]
    mounts: tuple[Path, ...]
    owner: Owner
    network: str | None
    groups: tuple[str | int, ...]
    args: DockerArgs = field(repr=False)
    entrypoint: tuple[str, ...] | None = None
    stop_signal: str = "SIGTERM"
    stop_seconds: int = 10
    python_path: str = ""
    awaits_port: int = 0
    copies: tuple[Path, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    directory: str = CODE_DIRECTORY

    @property
    def user(self) -> str:
        """``user[:group]`` of the program."""
        return self.args.user or f"{self.owner.uid}:{self.owner.gid}"

    @property
    def folder(self) -> str:
        """The working directory of the program."""
        return str(self.args.container.get("working_dir", self.directory))

    @property
    def is_read_only(self) -> bool:
        """The program may write to volumes alone."""
        return bool(self.args.host_config.get("read_only"))

    def describe(self) -> str:
        """The most similar ``docker run`` command, for people; secrets are masked."""
        secrets = secrets_in(self.environment)
        words = ["docker", "run", "--rm", "--init", "--name", self.name]
        words += ["--user", self.user]
        words += ["--workdir", self.folder]
        if self.network:
            words += ["--network", self.network]
        for group in self.groups:
            words += ["--group-add", str(group)]
        for name, value in self.args.typed:
            words.append(
                f"--{name}" + ("" if value is True else f"={_shown_argument(name, value)}")
            )
        for path in self.mounts:
            words += ["--volume", f"{path}:{path}:ro"]
        for volume, folder in self.volumes.items():
            words += ["--volume", f"{volume}:{folder}"]
        for bind in self.args.binds:
            words += ["--volume", bind]
        for name, value in sorted(self.environment.items()):
            words += ["--env", f"{name}={_shown(name, value)}"]
        first, *others = self.entrypoint or ("",)
        if self.entrypoint is not None:
            words += ["--entrypoint", first or "bash"]
        shell = [*others, *(["bash"] if first or self.entrypoint is None else []), "-c"]
        return shlex.join([*words, self.image, *shell, masked(self.command, secrets)])


def _shown_argument(name: str, value: object) -> str:
    """A value may be a pair: ``label=NAME=VALUE``."""
    key, equals, rest = str(value).partition("=")
    return f"{key}={_shown(key, rest)}" if equals else _shown(name, key)


def _shown(name: str, value: str) -> str:
    return masked(value, secrets_in({name: value}, shortest=1))


def mounted(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The paths to mount, without those inside of others.

    Raises:
        InvalidConfig: A path would hide a folder of the image.
    """
    kept: list[Path] = []
    for path in sorted(set(paths)):
        if str(path) in _TAKEN or path.is_relative_to("/mlflow"):
            raise InvalidConfig(
                f"'{path}' cannot be shown to the program: it would hide the container's own folder.",
                remedy="Copy what the program needs into a folder of its own.",
            )
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return tuple(kept)


def writable_folders(args: DockerArgs) -> list[Path]:
    """The folders of this machine that the user lets the program write to."""
    binds = [bind.split(":") for bind in args.binds if bind.startswith("/")]
    found = [source for source, _, *options in binds if "ro" not in ",".join(options).split(",")]
    found += [
        str(mount["Source"])
        for mount in args.host_config.get("mounts", ())
        if mount.get("Type") == "bind" and not mount.get("ReadOnly")
    ]
    return [Path(folder) for folder in found]


def choose_owner(args: DockerArgs, *, is_rootless: bool) -> Owner:
    """The user of the program, whom the code belongs to."""
    writes = bool(writable_folders(args))
    return Owner(*user_of_program(writes=writes, is_rootless=is_rootless))


def base_environment(owner: Owner) -> dict[str, str]:
    """Variables that a user without an entry in passwd does not have.

    ``GIT_PYTHON_REFRESH`` prevents a page of warnings from MLflow in images without git.
    """
    name = "root" if owner.uid == 0 else f"user{owner.uid}"
    return {
        "HOME": HOME_DIRECTORY,
        "USER": name,
        "LOGNAME": name,
        "GIT_PYTHON_REFRESH": "quiet",
    }
