"""What to run → a created and filled container, ready to start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from container_backend.errors import ContainerError, EngineError
from container_backend.image import hint_for_refusal
from container_backend.labels_and_tags import CODE_DIRECTORY, LAUNCHER_DIRECTORY, REACHED
from container_backend.privileges import SECURITY_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.container.shared_code import SharedCode
    from container_backend.container.spec import ContainerSpec
    from container_backend.container.store_access import Mount
    from container_backend.engine import Engine
    from container_backend.project import CodeArchive

# The command is for a shell in the container: bash, as in MLflow, or sh where there is none.
_SHELL: Final = ("sh", "-c", 'command -v bash >/dev/null && exec bash -c "$0"; exec sh -c "$0"')
# The same, after a mark that whatever started the shell has come to it. No mark can be left on a root
# that is read-only; that is no reason not to run.
_MARKING_SHELL: Final = (*_SHELL[:2], f"{{ true >{REACHED}; }} 2>/dev/null; {_SHELL[2]}")
# The drivers that throw away the beginning of a long log, where the engine's settings say so, and a
# size that no log reaches: they take no word for "all" in the place of a number.
_ROTATING_DRIVERS: Final = frozenset({"json-file", "local"})
_UNLIMITED: Final = "1000t"


def create_container(
    engine: Engine,
    spec: ContainerSpec,
    code: CodeArchive,
    created: Callable[[str], None],
    shared: SharedCode | None = None,
) -> str:
    """Create a container with the project's code in it.

    Args:
        code: An archive of what goes in; see :func:`container_backend.project.archive.archive_code`.
        created: Is given the container's id, in another thread while the code is on its way.
        shared: Where the code may be found instead of being sent.

    Returns:
        The container's id. On any error no container stays behind.

    Raises:
        ContainerError: The engine refuses.
    """
    for mount in spec.mounts:
        _ensure_folder(mount)
    try:
        arguments = _arguments(engine, spec)
        if shared is not None and (with_code := shared.create_container(arguments)):
            created(with_code)
            return with_code
        container_id = engine.containers.create(spec.image, **arguments)
        with ThreadPoolExecutor(1) as meanwhile:
            told = meanwhile.submit(created, container_id)
            engine.containers.put_archive(container_id, "/", code.whole())
        told.result()
        if shared is not None:
            shared.was_sent()
    except BaseException as error:
        engine.containers.give_up(spec.name)
        if isinstance(error, EngineError):
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
        "security_opt": list(SECURITY_OPTIONS),
        **spec.args.host_config,
        "binds": [*binds, *spec.args.binds],
    }
    if engine.facts.log_driver in _ROTATING_DRIVERS:
        options.setdefault("log_config", _whole_log(engine.facts.log_driver))
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
        "host_config": options,
        "platform": spec.args.platform,
        "stop_signal": spec.stop_signal,
        "stop_timeout": spec.stop_seconds,
        "working_dir": CODE_DIRECTORY,
        **spec.args.container,
    }


def _whole_log(driver: str) -> dict[str, Any]:
    """The output of a run is read from the engine's log: no part of the log may be rotated away.

    https://docs.docker.com/engine/logging/drivers/json-file/#options
    """
    return {"Type": driver, "Config": {"max-size": _UNLIMITED}}


def _python_path(spec: ContainerSpec) -> str:
    """The launcher, before what the caller or else the image has on the path."""
    own = spec.environment.get("PYTHONPATH") or spec.python_path
    return f"{LAUNCHER_DIRECTORY}:{own}" if own else LAUNCHER_DIRECTORY


def start_container(engine: Engine, container_id: str) -> None:
    """Start a container.

    Raises:
        ContainerError: The engine refuses: no such command, device, port or mount.
    """
    try:
        engine.containers.start(container_id)
    except EngineError as error:
        raise _refusal("started", error) from error


def _refusal(what: str, error: EngineError) -> ContainerError:
    return ContainerError(
        f"The container could not be {what}: {error.message}",
        remedy=hint_for_refusal(error.message),
    )


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
