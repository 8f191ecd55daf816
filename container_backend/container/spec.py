"""What the container of a run is made from."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from container_backend.labels_and_tags import CODE_DIRECTORY, HOME_DIRECTORY
from container_backend.masking import masked, secrets_in
from container_backend.privileges import user_of_program
from container_backend.project import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.container.docker_args import DockerArgs
    from container_backend.container.store_access import Mount, TrackingAccess


@dataclass(frozen=True)
class ContainerSpec:
    """A container to be.

    Attributes:
        name: Known beforehand, so that it can be found even if the answer to its creation is lost.
        image: Reference or id.
        command: For a shell in the container.
        environment: Variables; may hold credentials.
        labels: All that is needed to finish the run's bookkeeping.
        mounts: Folders of this machine, at their own paths.
        owner: The user that the program runs as, by number, and whose the code is.
        network: Name of a network, or None for the engine's default.
        groups: Further groups of the user.
        args: What the caller set beyond that.
        entrypoint: What the shell is started by, instead of the image's own entry point; None for
            that one.
        stop_signal: What the program is sent that it may stop.
        stop_seconds: How long it has then, also when another process stops it.
        python_path: The image's PYTHONPATH.
        leaves_mark: Whether the shell is to show that it was reached, by :data:`names.REACHED`.
    """

    name: str
    image: str
    command: str
    environment: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str]
    mounts: tuple[Mount, ...]
    owner: Owner
    network: str | None
    groups: tuple[str | int, ...]
    args: DockerArgs = field(repr=False)
    entrypoint: tuple[str, ...] | None = None
    stop_signal: str = "SIGTERM"
    stop_seconds: int = 10
    python_path: str = ""
    leaves_mark: bool = False

    def describe(self) -> str:
        """The nearest ``docker run`` command, for people. Values of secrets are not in it."""
        secrets = secrets_in(self.environment)
        words = ["docker", "run", "--rm", "--init", "--name", self.name]
        words += ["--user", self.args.user or f"{self.owner.uid}:{self.owner.gid}"]
        words += ["--workdir", self.args.container.get("working_dir", CODE_DIRECTORY)]
        if self.network:
            words += ["--network", self.network]
        for group in self.groups:
            words += ["--group-add", str(group)]
        for name, value in self.args.typed:
            words.append(
                f"--{name}" if value is True else f"--{name}={_shown_argument(name, value)}"
            )
        for mount in self.mounts:
            words += ["--volume", f"{mount.path}:{mount.path}" + (":ro" if mount.read_only else "")]
        for bind in self.args.binds:
            words += ["--volume", bind]
        for name, value in sorted(self.environment.items()):
            words += ["--env", f"{name}={_shown(name, value)}"]
        return shlex.join([*words, self.image, "bash", "-c", masked(self.command, secrets)])


def _shown_argument(name: str, value: object) -> str:
    """A value may be a pair itself: ``label=NAME=VALUE``."""
    key, equals, rest = str(value).partition("=")
    return f"{key}={_shown(key, rest)}" if equals else _shown(name, key)


def _shown(name: str, value: str) -> str:
    return masked(value, secrets_in({name: value}, shortest=1))


def choose_owner(access: TrackingAccess) -> Owner:
    """The user that the program runs as, and that its code belongs to."""
    writes = any(not mount.read_only for mount in access.mounts)
    return Owner(*user_of_program(writes=writes))


def base_environment(owner: Owner) -> dict[str, str]:
    """What a program may expect anywhere, and a number without an entry in passwd has not.

    The last one spares people a page of warnings from MLflow in images without git.
    """
    name = "root" if owner.uid == 0 else f"user{owner.uid}"
    return {
        "HOME": HOME_DIRECTORY,
        "USER": name,
        "LOGNAME": name,
        "GIT_PYTHON_REFRESH": "quiet",
    }
