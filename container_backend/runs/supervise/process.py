"""The process of the supervisor: one for each user and engine."""

from __future__ import annotations

import logging
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from container_backend.engine import find_host
from container_backend.errors import ContainerBackendError
from container_backend.machine import MaskedFormatter
from container_backend.runs.ledger import ledger_of, supervisor_lock
from container_backend.runs.supervise.supervisor import Supervisor

if TYPE_CHECKING:
    from container_backend.engine import EngineHost
    from container_backend.machine import FileLock

_logger = logging.getLogger(__package__)
# After this many tries the process that holds the lock counts as the supervisor.
_LOCK_TRIES: Final = 3
_LOCK_PAUSE_SECONDS: Final = 0.05


def _is_mine(lock: FileLock) -> bool:
    """True if the lock was taken. A process that only probes the lock holds it for a moment."""
    for _ in range(_LOCK_TRIES):
        if lock.try_to_own():
            return True
        time.sleep(_LOCK_PAUSE_SECONDS)
    return False


def supervise(host: EngineHost, *, stays: bool) -> bool:
    """Be the supervisor of this user and an engine. False if there is another.

    Args:
        stays: Wait until another supervisor has ended, and do not end without runs.
    """
    ledger = ledger_of(host)
    try:
        ledger.make()
    except OSError as error:
        raise ContainerBackendError(
            f"The supervisor cannot keep anything: {error.strerror}: '{error.filename}'.",
            remedy="Set XDG_STATE_HOME to a writable folder, for runs and for the supervisor.",
        ) from error
    while True:
        with supervisor_lock(ledger) as lock:
            if stays:
                lock.own()
            elif not _is_mine(lock):
                return False
            gave_up = Supervisor(host, ledger, stays=stays).run()
        # A client that found the lock taken has written an entry by now.
        if gave_up or not any(ledger.entries()):
            return True


def supervise_until_stopped(*, stays: bool = False) -> None:
    """Be the supervisor of the engine that the environment names, until SIGTERM.

    A supervisor that ``stays`` does not end without runs; one that is started on demand does.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MaskedFormatter("%(asctime)s %(process)d %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    host = find_host()
    _logger.info("watching %s", host.url)
    if not supervise(host, stays=stays):
        _logger.info("there is another supervisor")


if __name__ == "__main__":
    supervise_until_stopped()  # the argument shows the engine's address in `ps`
