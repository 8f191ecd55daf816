"""Starts the supervisor of this user and engine, in the background, if it is missing."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from container_backend.labels_and_tags import ENV_OWNER
from container_backend.machine import FileLock, start_in_background
from container_backend.masking import without_credentials
from container_backend.runs.ledger.ledger import ledger_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import EngineHost
    from container_backend.runs.ledger.ledger import Ledger

_logger = logging.getLogger(__package__)
_MODULE: Final = "container_backend.runs.supervise.process"
# Before a supervisor that was killed is started again.
_PAUSE_SECONDS: Final = 1.0
# A supervisor that was just started has this time to take the lock.
_START_SECONDS: Final = 2.0
# Addresses of engines whose users were warned.
_failed: set[str] = set()
# The folder of a ledger → when its supervisor was started, by the monotonic clock.
_started: dict[str, float] = {}
_starting: Final = threading.Lock()


def supervisor_lock(ledger: Ledger) -> FileLock:
    return FileLock(ledger.folder / "supervisor.lock", "another supervisor")


def ensure_supervisor(host: EngineHost, environ: Mapping[str, str] = os.environ) -> None:
    """Start a supervisor if there is none. It outlives this process, and ends when it has no runs.

    It reaches the engine and the stores by the variables ``environ``. A program in a container
    that uses the engine of the host starts none: the supervisor of the host finishes its runs.
    """
    if environ.get(ENV_OWNER):
        return
    ledger = ledger_of(host)
    try:
        with _starting:
            _start_where_missing(host, ledger, environ)
    except OSError as error:
        if host.url in _failed:
            return
        _failed.add(host.url)
        _logger.warning(
            "No supervisor could be started: %s: '%s'. A run whose client is gone keeps its "
            "status until `container-backend wait` is called for it. Set XDG_STATE_HOME to a "
            "writable folder.",
            error.strerror or error,
            error.filename or ledger.folder,
        )


def _start_where_missing(host: EngineHost, ledger: Ledger, environ: Mapping[str, str]) -> None:
    now = time.monotonic()
    if now - _started.get(str(ledger.folder), -math.inf) < _START_SECONDS:
        return
    with supervisor_lock(ledger) as lock:
        if not lock.try_to_own():
            return
    _start(host, ledger, environ)
    _started[str(ledger.folder)] = now


def _start(host: EngineHost, ledger: Ledger, environ: Mapping[str, str]) -> None:
    ledger.make()
    arguments = [without_credentials(host.url)]
    start_in_background(_MODULE, arguments, ledger.supervisor_log, environ, pause=_PAUSE_SECONDS)
