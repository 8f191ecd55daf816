"""Having a supervisor: started where there is none, in the background, for this user and engine."""

from __future__ import annotations

import logging
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from container_backend.labels_and_tags import ENV_OWNER
from container_backend.machine import FileLock, open_private
from container_backend.masking import without_credentials
from container_backend.runs.ledger.ledger import ledger_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import EngineHost
    from container_backend.runs.ledger.ledger import Ledger

_logger = logging.getLogger(__package__)
_MODULE: Final = "container_backend.runs.supervise.process"
# A supervisor that is killed is started again by the shell that waits for it. One that ended well,
# or found another in its place, is not.
_AGAIN: Final = 'until "$@"; do sleep 1; done'
_MOST_LOG_BYTES: Final = 1024 * 1024
# How long one that this process started may take until it has the lock.
_START_SECONDS: Final = 2.0
# The engines for which it was said that there is none.
_failed: set[str] = set()
# By the folder of the ledger: when a supervisor was started, by the monotonic clock.
_started: dict[str, float] = {}
_starting: Final = threading.Lock()


def supervisor_lock(ledger: Ledger) -> FileLock:
    """What the one supervisor of a user and an engine holds."""
    return FileLock(ledger.supervisor_lock, "another supervisor")


def ensure_supervisor(host: EngineHost, environ: Mapping[str, str] = os.environ) -> None:
    """Start a supervisor where there is none. It outlives this process, and ends by itself.

    A program in a container that uses the host's engine starts none: the host's sees to its runs.

    Args:
        host: The engine.
        environ: For the supervisor, which reaches the engine and the stores as this process does.
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
            "No supervisor could be started: %s: '%s'. A run without a client keeps its "
            "status until one waits for it (`container-backend wait`). Set XDG_STATE_HOME to a "
            "folder that can be written to.",
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
    log = ledger.supervisor_log
    if log.exists() and log.stat().st_size > _MOST_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
    words = [sys.executable, "-m", _MODULE, without_credentials(host.url)]
    if shell := shutil.which("sh"):
        words = [shell, "-c", _AGAIN, "sh", *words]
    with open_private(log, "ab") as output:
        log.chmod(0o600)  # older versions made it for everybody to read
        subprocess.Popen(  # noqa: S603 words of ours
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=_environment(environ),
            start_new_session=True,
        )


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """That of this process, with this installation of the package; without a run of its own."""
    from pathlib import Path

    package = str(Path(__file__).parents[3])
    path = [package, *filter(None, [environ.get("PYTHONPATH")])]
    kept = {name: value for name, value in environ.items() if name != "MLFLOW_RUN_ID"}
    return {**kept, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}
