"""The command as a process of its own: starts quickly and exits quickly."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import NoReturn

from container_backend.cli.app import main
from container_backend.store import import_mlflow_lean


def run_program() -> None:
    """Run the command line and end the process; only an unexpected exception gets out."""
    import_mlflow_lean()
    try:
        main()
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            raise
        _leave(int(leaving.code or 0))
    _leave(0)


def _leave(code: int) -> NoReturn:
    """End the process without the teardown of its modules: 1.4 instead of 2.1 s of CPU."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as every exit does
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader is gone
            stream.flush()
    os._exit(code)
