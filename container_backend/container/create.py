"""Creates a container with the project's code, and starts it."""

from __future__ import annotations

import io
import logging
import shlex
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from container_backend.errors import ContainerError, EngineError, InvalidConfig, Refused
from container_backend.image import hint_for_refusal
from container_backend.labels_and_tags import (
    CODE_DIRECTORY,
    HOME_DIRECTORY,
    LABEL_MOST_OUTPUT,
    LAUNCHER_DIRECTORY,
    MARK_DIRECTORY,
    REACHED,
    RECORD_DIRECTORY,
)
from container_backend.machine import submission_in
from container_backend.project import ROOT, folder_entry, tars_below

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.container.shared_code import SharedCode
    from container_backend.container.spec import ContainerSpec
    from container_backend.engine import Engine
    from container_backend.project import CodeArchive

_logger = logging.getLogger(__package__)
# A shell in the container runs the command: bash, as in MLflow, or sh if the image has no bash.
_SHELL: Final = 'command -v bash >/dev/null && exec bash -c "$0"; exec sh -c "$0"'
# Before that, it empties a file to show that it was started, by the image's entry point if there is
# one. Some of these change the folder.
_MARKING: Final = f"{{{{ true >{REACHED}; cd {{folder}}; }}}} 2>/dev/null; "
# Waits until a port of the loopback address is listened at (state 0A), for 30 seconds at most.
# https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html
_AWAITING: Final = (
    "listens() {{ while read -r _ at _ state _; do "
    '[ "$at $state" = "0100007F:{port:04X} 0A" ] && return; done </proc/net/tcp; return 1; }}; '
    "n=0; while [ $n -lt 600 ] && ! listens; do sleep 0.05; n=$((n+1)); done; "
)
# Log drivers that may delete the beginning of a long log, and a size that no log reaches: these
# drivers have no value for "unlimited".
_ROTATING_DRIVERS: Final = frozenset({"json-file", "local"})
_UNLIMITED: Final = "1000t"
# Home of a read-only container.
_HOME: Final = "exec,mode=1777"
# In most images, no other user passes through this folder to a file that is copied below it.
_HOME_OF_ROOT: Final = "/root"


def create_container(
    engine: Engine,
    spec: ContainerSpec,
    code: CodeArchive,
    created: Callable[[str], None],
    shared: SharedCode | None = None,
) -> str:
    """Create a container with the project's code and return its id; on an error, remove it again.

    Args:
        code: The archive from :func:`container_backend.project.archive.archive_code`.
        created: Called with the container's id, in another thread while the code is sent.
        shared: An image that may contain the code already.

    Raises:
        ContainerError: The engine refuses.
        EngineUnavailable: The engine does not answer.
    """
    try:
        arguments = _arguments(engine, spec)
        if shared is not None and (with_code := shared.create_container(arguments)):
            _copy(engine, with_code, spec)
            created(with_code)
            return with_code
        container_id = engine.containers.create(spec.image, **arguments)
        _copy(engine, container_id, spec)
        with ThreadPoolExecutor(1) as meanwhile:
            told = meanwhile.submit(created, container_id)
            _send(engine, container_id, spec, code.whole())
        told.result()
        if shared is not None:
            shared.was_sent()
    except BaseException as error:
        is_taken = not give_up(engine, spec)
        if isinstance(error, Refused):
            raise (_taken(spec) if is_taken else _refusal("created", error)) from error
        raise
    return container_id


def give_up(engine: Engine, spec: ContainerSpec) -> bool:
    """Remove the container of this attempt, if it was created; errors of the engine are not raised.

    Returns:
        False if another container has its name: that of another process which goes on with the same run.
    """
    try:
        found = engine.containers.inspect(spec.name)
        if submission_in((found.get("Config") or {}).get("Labels") or {}) != submission_in(
            spec.labels
        ):
            return False
        engine.containers.remove(str(found["Id"]))
    except EngineError as error:
        _logger.debug("The container %s is not removed: %s", spec.name, error)
    return True


def _taken(spec: ContainerSpec) -> InvalidConfig:
    return InvalidConfig(
        f"The engine has a container '{spec.name}' already: another process goes on with this run.",
        remedy="Wait for its end, or remove the container if it is no more than kept.",
    )


def _send(engine: Engine, container_id: str, spec: ContainerSpec, packed: IO[bytes]) -> None:
    """Unpack a tar in a container; a read-only one takes files in its volumes alone."""
    if not spec.is_read_only:
        engine.containers.put_archive(container_id, "/", packed)
        return
    for folder, below in tars_below(packed, _volumes(spec)):
        engine.containers.put_archive(container_id, folder, below)


def _volumes(spec: ContainerSpec) -> list[str]:
    """The folders of a read-only container that files are sent to: volumes, removed with the container.

    Volumes begin with what the image has there.
    """
    if not spec.is_read_only:
        return []
    own = [
        str(PurePosixPath(CODE_DIRECTORY).parent),
        LAUNCHER_DIRECTORY,
        RECORD_DIRECTORY,
        MARK_DIRECTORY,
    ]
    return list(dict.fromkeys([*own, *(str(path.parent) for path in spec.copies)]))


def _copy(engine: Engine, container_id: str, spec: ContainerSpec) -> None:
    """Copy files and folders of this machine to the same paths of a container.

    Every user of the container may read them. Raises ContainerError.
    """
    if not (paths := spec.copies):  # as in most runs
        return
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        if any(path.is_relative_to(_HOME_OF_ROOT) for path in paths):
            tar.addfile(folder_entry(_HOME_OF_ROOT, ROOT, 0o711))
        for path in paths:
            try:
                tar.add(path, str(path).lstrip("/"), filter=_for_every_reader)
            except OSError as error:
                raise ContainerError(
                    f"The file '{path}' cannot be given to the program: {error.strerror or error}.",
                    remedy="Make it readable, or unset the variable that names it.",
                ) from error
    packed.seek(0)
    _send(engine, container_id, spec, packed)


def _for_every_reader(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    ROOT.own(entry)
    entry.mode = 0o555 if entry.isdir() else 0o444
    return entry


def _arguments(engine: Engine, spec: ContainerSpec) -> dict[str, Any]:
    """The arguments of :meth:`Containers.create`, without the image."""
    binds = [f"{path}:{path}:ro" for path in spec.mounts]
    binds += [f"{name}:{path}" for name, path in spec.volumes.items()]
    options: dict[str, Any] = {
        "init": True,
        **spec.args.host_config,
        "binds": [*binds, *spec.args.binds],
    }
    driver = engine.facts.log_driver
    if driver in _ROTATING_DRIVERS:
        # The output of a run is read from this log.
        # https://docs.docker.com/engine/logging/drivers/json-file/#options
        most = spec.labels.get(LABEL_MOST_OUTPUT)
        # The log has a few bytes more for each line: with ten times as much, the engine has what is kept.
        size = {"max-size": f"{most}0"} if most else {"max-size": _UNLIMITED}
        log_config = {"Type": driver, "Config": size}
        options.setdefault("log_config", log_config)
    if spec.groups:
        options["group_add"] = list(spec.groups)
    if spec.network:
        options["network_mode"] = spec.network
    if spec.is_read_only:
        options["tmpfs"] = {HOME_DIRECTORY: _HOME, **options.get("tmpfs", {})}
    script = _MARKING.format(folder=shlex.quote(spec.folder)) + _SHELL
    if spec.awaits_port:
        script = _AWAITING.format(port=spec.awaits_port) + script
    words = ["sh", "-c", script, spec.command]
    entrypoint = None
    if spec.entrypoint is not None:  # None stands for the image's own entry point
        entrypoint, words = [*spec.entrypoint, *words[:1]], words[1:]
    return {
        "command": words,
        "entrypoint": entrypoint,
        "name": spec.name,
        "environment": {**spec.environment, "PYTHONPATH": _python_path(spec)},
        "labels": dict(spec.labels),
        "user": spec.user,
        "host_config": options,
        "platform": spec.args.platform,
        "stop_signal": spec.stop_signal,
        "stop_timeout": spec.stop_seconds,
        "volumes": _volumes(spec),
        **spec.args.container,
        "working_dir": spec.folder,
    }


def _python_path(spec: ContainerSpec) -> str:
    """The launcher's folder, then the caller's PYTHONPATH or else the image's."""
    own = spec.environment.get("PYTHONPATH") or spec.python_path
    return f"{LAUNCHER_DIRECTORY}:{own}" if own else LAUNCHER_DIRECTORY


def start_container(engine: Engine, container_id: str) -> None:
    """Raises ContainerError if the engine refuses: no such command, device, port or mount."""
    try:
        engine.containers.start(container_id)
    except Refused as error:
        raise _refusal("started", error) from error


def _refusal(what: str, error: Refused) -> ContainerError:
    return ContainerError(
        f"The container could not be {what}: {error.message}",
        remedy=hint_for_refusal(error.message),
    )
