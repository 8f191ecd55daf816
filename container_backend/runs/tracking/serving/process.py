"""The process of the tracking proxy: one for each user and store."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.container import local_path
from container_backend.machine import MaskedFormatter
from container_backend.masking import without_credentials
from container_backend.runs.tracking.grants import ProxyFolder
from container_backend.store import import_mlflow_lean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from container_backend.runs.tracking.serving.application import Application
    from container_backend.runs.tracking.serving.control import Control
    from container_backend.runs.tracking.serving.served import Served
    from container_backend.store import StoreElsewhere, StoreServer

_logger = logging.getLogger(__package__)
# The proxy ends after this time without a run and without a request of the user.
_LINGER_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 2.0
# A connection that is not used is kept for this time: longer than between two logged epochs.
_KEEP_SECONDS: Final = 300
# Of files that are read and written.
_THREADS: Final = 32
_MOST_CONNECTIONS: Final = 4096
_IDLE_SECONDS: Final = 5.0


async def serve(
    folder: ProxyFolder, tracking_uri: str, root: str, descriptors: Iterable[int]
) -> None:
    """Serve a store until no run needs it.

    Args:
        descriptors: Of sockets that listen; the shell that starts the proxy has them, too.
    """
    await _until_there(folder, tracking_uri)
    import uvicorn

    # These import MLflow, which is to be prepared for that first.
    from container_backend.runs.tracking.serving.application import Application
    from container_backend.runs.tracking.serving.artifacts import Artifacts
    from container_backend.runs.tracking.serving.asgi import is_open
    from container_backend.runs.tracking.serving.control import Control
    from container_backend.runs.tracking.serving.programs import Programs
    from container_backend.runs.tracking.serving.roots import Roots
    from container_backend.runs.tracking.serving.served import Served

    store = Served(_open(tracking_uri, root))
    roots = Roots(store, tracking_uri)
    programs = Programs(folder.grants, store, roots)
    check_store = _ends_if_replaced(folder, tracking_uri, store)
    servers: list[uvicorn.Server] = []
    application = Application(programs, Artifacts(roots), partial(is_open, servers))
    tasks: set[asyncio.Task[None]] = set()

    def serve_at(asked: Application | Control, listening: socket.socket) -> None:
        config = uvicorn.Config(
            asked, log_config=None, access_log=False, lifespan="off", ws="none",
            timeout_keep_alive=_KEEP_SECONDS, server_header=False, date_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
        )  # fmt: skip
        servers.append(uvicorn.Server(config))
        tasks.add(asyncio.create_task(servers[-1]._serve([listening])))

    control = Control(folder, store, programs, check_store, partial(serve_at, application))
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "file"))
    for descriptor in descriptors:
        control.serve(socket.socket(fileno=descriptor))
    for host in folder.hosts():  # those that were added later
        if error := control.listen(host):
            _logger.warning("not at %s: %s", host, error)
    serve_at(control, folder.listen())
    _logger.info("serving %s at port %s", tracking_uri, folder.port())
    for grant in folder.grants.valid():
        control.forward(grant.submission)
    gc.freeze()
    idle_since, said = time.monotonic(), ""
    while time.monotonic() - idle_since < _LINGER_SECONDS:
        await asyncio.sleep(_LOOK_SECONDS)
        check_store()
        if (waits_for := store.waits_for()) != said:
            said = waits_for
            folder.note_waiting(said)
        if programs.tidy() or control.was_asked():
            idle_since = time.monotonic()
    _logger.info("no run needs the proxy any more")


async def _until_there(folder: ProxyFolder, tracking_uri: str) -> None:
    """Wait for a store that was moved away; an empty one in its place would have lost all runs.

    Raises:
        FileNotFoundError: It is missing, and no run waits for it.
    """
    path = local_path(tracking_uri)
    while path is not None and not path.exists():
        if not any(folder.grants.valid()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        folder.note_waiting("it is missing")
        await asyncio.sleep(_LOOK_SECONDS)
    folder.note_waiting("")


def _open(tracking_uri: str, root: str) -> StoreServer | StoreElsewhere:
    from container_backend.store import StoreElsewhere, StoreServer

    if local_path(tracking_uri) is None:
        return StoreElsewhere(tracking_uri)
    return StoreServer(tracking_uri, root)


def _ends_if_replaced(folder: ProxyFolder, tracking_uri: str, store: Served) -> Callable[[], None]:
    """Ends the process once another file or folder is in the place of the opened store, or none."""
    path = local_path(tracking_uri)

    def place() -> tuple[int, int] | None:
        if path is None:
            return None
        try:
            found = path.stat()
        except OSError:
            return 0, 0
        return found.st_dev, found.st_ino

    def check() -> None:
        if place() != opened:
            _logger.warning("the store is not the one that was opened")
            # A transaction that is cut off leaves a journal, which belongs to the other store then.
            store.wait_until_idle(_IDLE_SECONDS)
            os._exit(_code(folder))

    opened = place()
    return check


def main() -> None:
    """Serve the store that the environment names, until no run needs that, or SIGTERM."""
    path, root, *descriptors = sys.argv[1:]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MaskedFormatter("%(asctime)s %(process)d %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    folder = ProxyFolder(Path(path))
    # The shell starts a proxy again that ends with another code than 0.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(_code(folder)))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    import_mlflow_lean()
    try:
        uri = os.environ["MLFLOW_TRACKING_URI"]
        asyncio.run(serve(folder, uri, root, map(int, descriptors)))
        code = _code(folder)  # a run may have come meanwhile
    except Exception as error:
        _logger.exception("the proxy failed")
        with suppress(OSError):  # the folder may be gone
            folder.note_failure(without_credentials(str(error)))
        code = _code(folder)
    sys.stderr.flush()
    os._exit(code)  # without waiting for the threads of MLflow


def _code(folder: ProxyFolder) -> int:
    """The exit code of a proxy that does not end by itself: 0 if no run needs it."""
    return int(any(folder.grants.valid()))


if __name__ == "__main__":
    main()
