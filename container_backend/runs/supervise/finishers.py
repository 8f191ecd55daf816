"""Starts and ends finishers, the processes that finish runs: one for each way to reach stores.

All stores on this machine's disk share a process for each set of variables.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from container_backend.machine import module_variables
from container_backend.masking import masked, secrets_in, without_credentials
from container_backend.runs.supervise.finisher import AGAIN
from container_backend.store import client_variables, store_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.runs.ledger import Ledger
    from container_backend.runs.supervise.finisher import Job

    Answer = Callable[[Job, str, str], None]
_MODULE: Final = "container_backend.runs.supervise.finisher"
_IDLE_SECONDS: Final = 5.0
# The supervisor itself tries again, and the other runs must not wait.
_QUICK: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class Finishers:
    def __init__(self, ledger: Ledger, answer: Answer) -> None:
        """Answers of :mod:`.finisher` go to ``answer`` with their job, in any thread."""
        self._ledger = ledger
        self._answer = answer
        self._processes: dict[str, _Process] = {}

    def submit(self, job: Job, tracking_uri: str) -> None:
        """Give a job to a process that reaches the store as the job's container does."""
        environment = job.container.logins if job.container is not None else {}
        address = store_address(tracking_uri, environment)
        variables = {**client_variables(address, environment), **_QUICK}
        key = hashlib.sha256(json.dumps(sorted(variables.items())).encode()).hexdigest()
        process = self._processes.get(key)
        if process is None or not process.submit(job, address):
            process = _Process(self._ledger, variables, self._answer)
            self._processes[key] = process
            process.submit(job, address)

    def end_idle(self) -> None:
        for key, process in list(self._processes.items()):
            if process.end_if_idle():
                del self._processes[key]

    @property
    def are_busy(self) -> bool:
        return bool(self._processes)


class _Process:
    def __init__(self, ledger: Ledger, variables: Mapping[str, str], answer: Answer) -> None:
        self._secrets = secrets_in(variables)
        self._answer = answer
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._count = 0
        self._last = time.monotonic()
        self._ended = False
        self._process = subprocess.Popen(  # noqa: S603 words of ours
            [sys.executable, "-m", _MODULE, str(ledger.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=module_variables(variables),
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        threading.Thread(target=self._pass_on, name="finisher-log", daemon=True).start()
        threading.Thread(target=self._read, name="finisher", daemon=True).start()

    def submit(self, job: Job, address: str) -> bool:
        """False if the process has ended."""
        with self._lock:
            if self._ended:
                return False
            self._count += 1
            self._last = time.monotonic()
            self._jobs[self._count] = job
            line = json.dumps({"id": self._count, "address": address, "job": job.as_json()})
            try:
                assert self._process.stdin is not None  # noqa: S101 a pipe, as asked for
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            except OSError:
                del self._jobs[self._count]
                self._ended = True
                return False
            return True

    def end_if_idle(self) -> bool:
        """True if the process has ended or is told to."""
        with self._lock:
            idle = not self._jobs and time.monotonic() - self._last > _IDLE_SECONDS
            if idle and not self._ended:
                self._ended = True
                assert self._process.stdin is not None  # noqa: S101 a pipe, as asked for
                self._process.stdin.close()
            return self._ended and not self._jobs

    def _masked(self, text: str) -> str:
        return without_credentials(masked(text, self._secrets))

    def _pass_on(self) -> None:
        """Copy what MLflow and errors print to the supervisor's log."""
        assert self._process.stderr is not None  # noqa: S101 a pipe, as asked for
        with self._process.stderr as lines:
            for line in lines:
                sys.stderr.write(self._masked(line))
                sys.stderr.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 a pipe, as asked for
        with self._process.stdout as answers:
            for line in answers:
                try:
                    said = json.loads(line)
                except ValueError:  # the process was killed in the middle of a line
                    break
                with self._lock:
                    job = self._jobs.pop(int(said["id"]))
                    self._last = time.monotonic()
                self._answer(job, said["state"], self._masked(said["said"]))
        code = self._process.wait()
        with self._lock:
            self._ended = True
            left = list(self._jobs.values())
            self._jobs.clear()
        for job in left:
            self._answer(job, AGAIN, f"the finisher ended with exit code {code}")
