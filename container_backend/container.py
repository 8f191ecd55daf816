"""What to run → a created and filled container, ready to start."""

from __future__ import annotations

import io
import math
import os
import shlex
import shutil
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from docker.errors import APIError, DockerException, NotFound
from docker.types import LogConfig

from container_backend.build_hints import hint_for_refusal
from container_backend.code import Owner
from container_backend.engine import said_by
from container_backend.errors import ContainerError
from container_backend.masking import masked, secrets_in
from container_backend.names import CODE_DIRECTORY, HOME_DIRECTORY, LAUNCHER_DIRECTORY, REACHED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from container_backend.docker_args import DockerArgs
    from container_backend.engine import Engine
    from container_backend.shared_code import SharedCode
    from container_backend.tracking import Mount, TrackingAccess

# The command is for a shell in the container: bash, as in MLflow, or sh where there is none.
_SHELL: Final = ("sh", "-c", 'command -v bash >/dev/null && exec bash -c "$0"; exec sh -c "$0"')
# The same, after a mark that whatever started the shell has come to it. No mark can be left on a root
# that is read-only; that is no reason not to run.
_MARKING_SHELL: Final = (*_SHELL[:2], f"{{ true >{REACHED}; }} 2>/dev/null; {_SHELL[2]}")
# The drivers that throw away the beginning of a long log, where the engine's settings say so, and a
# size that no log reaches: they take no word for "all" in the place of a number.
_ROTATING_DRIVERS: Final = frozenset({"json-file", "local"})
_UNLIMITED: Final = "1000t"
# Who programs are when a person of that number is not needed: nobody's number on most systems.
_UNPRIVILEGED: Final = Owner(1000, 1000)


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
        stop_seconds: How long it has then, whoever stops it.
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
        for mount in self.mounts:
            words += ["--volume", f"{mount.path}:{mount.path}" + (":ro" if mount.read_only else "")]
        for bind in self.args.binds:
            words += ["--volume", bind]
        for name, value in sorted(self.environment.items()):
            words += ["--env", f"{name}={_shown(name, value)}"]
        return shlex.join([*words, self.image, "bash", "-c", masked(self.command, secrets)])


def _shown(name: str, value: str) -> str:
    return masked(value, secrets_in({name: value}, shortest=1))


def choose_owner(access: TrackingAccess, environ_uid: int | None = None) -> Owner:
    """Who the program runs as.

    The invoking user, so that what it writes to a folder of this machine belongs to them. Fetched
    code does not get root for nothing: where root invokes and no folder is written to, it runs as
    an ordinary user.

    Args:
        access: Whose mounts are looked at.
        environ_uid: Instead of this process's user, for tests.
    """
    if not hasattr(os, "getuid"):
        return _UNPRIVILEGED
    uid = os.getuid() if environ_uid is None else environ_uid
    writes = any(not mount.read_only for mount in access.mounts)
    if uid == 0 and not writes:
        return _UNPRIVILEGED
    return Owner(uid, os.getgid())


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


def create(
    engine: Engine,
    spec: ContainerSpec,
    code: IO[bytes],
    created: Callable[[str], None],
    shared: SharedCode | None = None,
) -> str:
    """Create a container with the project's code in it.

    Args:
        engine: Where.
        spec: What.
        code: An archive of what goes in; see :func:`container_backend.code.archive_code`.
        created: Is given the container's id, in another thread while the code is on its way.
        shared: Where the code may be found instead of being sent.

    Returns:
        The container's id. On any error no container stays behind.

    Raises:
        ContainerError: The engine refuses.
    """
    for mount in spec.mounts:
        _ensure_folder(mount)
    api = engine.client.api
    try:
        arguments = _arguments(engine, spec)
        if shared is not None and (with_code := shared.create_container(arguments)):
            created(with_code)
            return with_code
        container_id = str(api.create_container(spec.image, **arguments)["Id"])
        with ThreadPoolExecutor(1) as meanwhile:
            told = meanwhile.submit(created, container_id)
            api.put_archive(container_id, "/", code)
        told.result()
        if shared is not None:
            shared.was_sent()
    except BaseException as error:
        give_up(engine, spec.name)
        if isinstance(error, (DockerException, OSError)):
            raise _refusal("created", error) from error
        raise
    return container_id


def _arguments(engine: Engine, spec: ContainerSpec) -> dict[str, Any]:
    """What the engine is told of a container, but for its image."""
    binds = [
        f"{mount.path}:{mount.path}:{'ro' if mount.read_only else 'rw'}" for mount in spec.mounts
    ]
    options: dict[str, Any] = {
        "init": True,
        "security_opt": ["no-new-privileges"],
        **spec.args.host_config,
        "binds": [*binds, *spec.args.binds],
    }
    if engine.log_driver in _ROTATING_DRIVERS:
        options.setdefault("log_config", _whole_log(engine.log_driver))
    if spec.args.host_config.get("privileged"):
        options.pop("security_opt")
    if spec.groups:
        options["group_add"] = list(spec.groups)
    if spec.network:
        options["network_mode"] = spec.network
    words = [*(_MARKING_SHELL if spec.leaves_mark else _SHELL), spec.command]
    entrypoint = None
    if spec.entrypoint is not None:  # the engine takes none at all for the image's own
        entrypoint, words = [*spec.entrypoint, *words[:1]], words[1:]
    return {
        "command": words,
        "entrypoint": entrypoint,
        "name": spec.name,
        "environment": {**spec.environment, "PYTHONPATH": _python_path(spec)},
        "labels": dict(spec.labels),
        "user": spec.args.user or f"{spec.owner.uid}:{spec.owner.gid}",
        "host_config": engine.client.api.create_host_config(**options),
        "platform": spec.args.platform,
        "stop_signal": spec.stop_signal,
        "stop_timeout": spec.stop_seconds,
        "working_dir": CODE_DIRECTORY,
        **spec.args.container,
    }


def _whole_log(driver: str) -> LogConfig:
    """The engine's log of a container is what is kept of it: none of it is to be rotated away.

    https://docs.docker.com/engine/logging/drivers/json-file/#options
    """
    return LogConfig(type=driver, config={"max-size": _UNLIMITED})


def _python_path(spec: ContainerSpec) -> str:
    """The launcher, before what the caller or else the image has on the path."""
    own = spec.environment.get("PYTHONPATH") or spec.python_path
    return f"{LAUNCHER_DIRECTORY}:{own}" if own else LAUNCHER_DIRECTORY


def start(engine: Engine, container_id: str) -> None:
    """Start a container.

    Raises:
        ContainerError: The engine refuses: no such command, device, port or mount.
    """
    try:
        engine.client.api.start(container_id)
    except (DockerException, OSError) as error:
        raise _refusal("started", error) from error


def _refusal(what: str, error: DockerException | OSError) -> ContainerError:
    said = said_by(error)
    return ContainerError(
        f"The container could not be {what}: {said}", remedy=hint_for_refusal(said)
    )


def read_file(engine: Engine, container_id: str, path: str) -> bytes | None:
    """The content of a file in a container, running or not; None where there is none.

    Raises:
        DockerException: The container is gone, or the engine.
    """
    try:
        chunks, _ = engine.client.api.get_archive(container_id, path)
    except NotFound:
        return None
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.next()
        file = archive.extractfile(member) if member is not None else None
        return file.read() if file is not None else None


def copy_folder(engine: Engine, container_id: str, path: str, target: Path) -> None:
    """Copy the files in a folder of a container; nothing where there is no such folder.

    Args:
        engine: Where the container is.
        container_id: Running or not.
        path: Of the folder; only the engine's own files are in it, and no links.
        target: A folder of this machine.

    Raises:
        DockerException: The container is gone, or the engine.
    """
    try:
        chunks, _ = engine.client.api.get_archive(container_id, path)
    except NotFound:
        return
    with tempfile.TemporaryFile() as packed:
        packed.writelines(chunks)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            for member in archive:
                inside = PurePosixPath(member.name).parts[1:]
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or ".." in inside:
                    continue
                file = target.joinpath(*inside)
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("wb") as opened:
                    shutil.copyfileobj(content, opened)


def remove(engine: Engine, container: str) -> None:
    """Remove a container, running or not, by name or id. One that is gone already is fine."""
    try:
        engine.client.api.remove_container(container, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:  # noqa: PLR2004 "removal is already in progress"
            raise


def stop(engine: Engine, container: str, seconds: float | None = None) -> None:
    """Have a program stop, with its own signal; returns when it has. One that has ended is fine.

    Args:
        engine: Where.
        container: Id or name.
        seconds: Until SIGKILL; those that the container was made with by default.
    """
    api = engine.streams.api
    with suppress(NotFound):
        api.stop(container, timeout=None if seconds is None else math.ceil(seconds))


def rename(engine: Engine, container: str, name: str) -> bool:
    """Rename a container. Whether it is there, and is called that now."""
    api = engine.client.api
    try:
        api.rename(container, name)
    except NotFound:
        return False
    except APIError:
        try:  # called that already, by somebody else at the same time
            return str(api.inspect_container(container)["Name"]) == f"/{name}"
        except NotFound:
            return False
    return True


def give_up(engine: Engine, container: str) -> None:
    """As :func:`remove`, after an error: an engine that is gone must not hide it by one more."""
    with suppress(DockerException, OSError):
        remove(engine, container)


def _ensure_folder(mount: Mount) -> None:
    """A folder that is not there would be made by the engine, as root's."""
    if mount.read_only or mount.path.exists():
        return
    try:
        mount.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ContainerError(
            f"The store's folder '{mount.path}' cannot be made: {error.strerror}."
        ) from error
