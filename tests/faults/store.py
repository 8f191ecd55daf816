"""A tracking server that goes away and comes back, with what it stores."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.integration.conftest import free_port, listens, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self

_HOST = "127.0.0.1"


class TrackingServer:
    """A real ``mlflow server`` on a store, while the context lasts."""

    def __init__(self, folder: Path, store: str) -> None:
        """Nothing is started yet.

        Args:
            folder: For its artifacts and its log.
            store: The address of what is behind it.
        """
        self._folder = folder
        self._store = store
        self._port = free_port(_HOST)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """For ``MLFLOW_TRACKING_URI``."""
        return f"http://{_HOST}:{self._port}"

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Inside, nobody answers."""
        self._stop()
        yield
        self._start()

    def _start(self) -> None:
        with (self._folder / "server.log").open("ab") as log:
            self._process = process = subprocess.Popen(
                [
                    sys.executable, "-m", "mlflow",
                    *("server", "--host", _HOST, "--port", str(self._port), "--workers", "1"),
                    *("--backend-store-uri", self._store),
                    *("--artifacts-destination", str(self._folder / "artifacts")),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                # Jobs of its page would have seven more processes, a sixth of the CPU of all trials.
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                start_new_session=True,
            )  # fmt: skip
        wait_until(lambda: listens(_HOST, self._port) or process.poll() is not None, 180)
        assert process.poll() is None, (self._folder / "server.log").read_text()

    def _stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
