"""A submitted run: followed to its end by a thread, waited for and cancelled by its caller."""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from docker.errors import APIError, NotFound
from mlflow.projects.submitted_run import SubmittedRun

from container_backend import container, logs, state
from container_backend.environment_record import log_environment
from container_backend.errors import RunFailed, RunKilled
from container_backend.explanation import TAIL_BYTES, explain

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from container_backend.engine import Engine
    from container_backend.logs import Chunk, Output
    from container_backend.record import RunRecord
    from container_backend.state import Outcome

_logger = logging.getLogger(__name__)

# For so long an engine that has gone away may come back.
_ENGINE_PATIENCE_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 1.0
# For so long an artifact store may hold up the end of a run whose program has ended.
_ARTIFACTS_PATIENCE_SECONDS: Final = 60.0


class ContainerRun(SubmittedRun):
    """A run whose container was started.

    Once :meth:`follow` was called, a thread follows the container to its end, writes the run's
    status and removes the container; the process does not exit before that.
    """

    def __init__(
        self,
        engine: Engine,
        record: RunRecord,
        container_id: str,
        output: Output,
        *,
        grace: float,
        write: Callable[[Chunk], None],
        needed: ExitStack,
        dockerfile: str | None = None,
    ) -> None:
        """Nothing is done yet.

        Args:
            engine: Where the container is.
            record: The run's.
            container_id: The container, started.
            output: Attached to it.
            grace: Seconds between SIGTERM and SIGKILL when cancelled.
            write: Takes the output.
            needed: What the container needs while it runs; closed when it has ended.
            dockerfile: Of its image, for the record.
        """
        super().__init__()
        self._engine = engine
        self._record = record
        self._container_id = container_id
        self._output = output
        self._grace = grace
        self._write = write
        self._needed = needed
        self._dockerfile = dockerfile
        self._tail = b""
        self._cancelled = threading.Event()
        self._ended = threading.Event()
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None

    def follow(self) -> None:
        """Begin to follow the container; called once."""
        _RUNNING.add(self)
        threading.Thread(target=self._follow, name=f"run-{self.run_id}", daemon=True).start()

    @property
    def run_id(self) -> str:
        """The id of the MLflow run."""
        return self._record.run_id

    @property
    def container_id(self) -> str:
        """The id of the container."""
        return self._container_id

    def wait(self) -> bool:
        """Wait until the run has ended and its status is written. Whether it finished well."""
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self.get_status() == state.FINISHED

    def get_status(self) -> str:
        """RUNNING, FINISHED, FAILED or KILLED: MLflow's strings."""
        return self._outcome.status if self._outcome is not None else state.RUNNING

    def cancel(self) -> None:
        """End the program: SIGTERM, the grace period, SIGKILL. Returns when it has ended."""
        self._stop(self._grace)
        self._ended.wait()

    def result(self) -> None:
        """Wait, and raise if the run did not finish.

        An interrupt cancels the run; a second one does not grant the grace period.

        Raises:
            RunFailed: The program failed.
            RunKilled: The run was cancelled.
            KeyboardInterrupt: As it came, after the run was cancelled.
        """
        try:
            self.wait()
        except KeyboardInterrupt:
            _logger.warning(
                "=== Run (ID '%s') interrupted: stopping it, up to %g s (again to kill it) ===",
                self.run_id,
                self._grace,
            )
            try:
                self.cancel()
            except KeyboardInterrupt:
                self._stop(0)
                self._ended.wait()
            raise
        outcome = self._outcome
        if outcome is None or outcome.status == state.FINISHED:
            return
        kind = RunKilled if outcome.status == state.KILLED else RunFailed
        raise kind(f"Run (ID '{self.run_id}') {_verb(outcome)}: {outcome.reason}")

    def _stop(self, grace: float) -> None:
        if self._ended.is_set():
            return
        try:
            if self._inspect().get("Running"):
                self._cancelled.set()
                self._engine.streams.api.stop(self._container_id, timeout=math.ceil(grace))
        except NotFound:
            return  # gone, and the following thread has seen it, too
        except APIError:
            if not self._ended.is_set():
                raise

    def _follow(self) -> None:
        try:
            described = self._describe()
            self._stream_output()
            outcome = self._explained(self._await_outcome())
            described.join(_ARTIFACTS_PATIENCE_SECONDS)
            self._record.finish(outcome)
            self._outcome = outcome
            container.remove(self._engine, self._container_id)
        except BaseException as error:  # noqa: BLE001 handed to whoever waits
            self._error = error
            self._outcome = self._outcome or state.Outcome(state.FAILED, str(error))
            _logger.warning("Run (ID '%s') could not be brought to its end: %s", self.run_id, error)
        finally:
            self._needed.close()
            self._ended.set()
            _RUNNING.discard(self)

    def _describe(self) -> threading.Thread:
        """Log the environment while the program runs."""
        thread = threading.Thread(
            target=log_environment,
            args=(self._engine, self._record, self._container_id, self._dockerfile),
            name=f"environment-{self.run_id}",
            daemon=True,
        )
        thread.start()
        return thread

    def _stream_output(self) -> None:
        try:
            for chunk in self._output:
                self._tail = (self._tail + chunk.data)[-TAIL_BYTES:]
                self._write(chunk)
        except logs.STREAM_ERRORS as error:
            # The program goes on without a reader (a closed pipe) or while the engine restarts.
            _logger.warning("The output of run (ID '%s') is not shown: %s", self.run_id, error)

    def _explained(self, outcome: Outcome) -> Outcome:
        if outcome.status != state.FAILED:
            return outcome
        explanation = explain(self._tail, self._engine, self._container_id)
        return (
            replace(outcome, reason=f"{outcome.reason}: {explanation}") if explanation else outcome
        )

    def _await_outcome(self) -> Outcome:
        deadline = time.monotonic() + _ENGINE_PATIENCE_SECONDS
        while True:
            try:
                self._engine.streams.api.wait(self._container_id)
                return state.outcome_of(self._inspect(), cancelled=self._cancelled.is_set())
            except NotFound:
                if self._cancelled.is_set():
                    return state.Outcome(state.KILLED, "cancelled")
                return state.Outcome(state.FAILED, "the container was removed from outside")
            except logs.STREAM_ERRORS as error:
                if time.monotonic() > deadline:
                    return state.Outcome(state.FAILED, f"the engine went away: {error}")
                time.sleep(_RETRY_SECONDS)

    def _inspect(self) -> dict[str, Any]:
        inspected: dict[str, Any] = self._engine.client.api.inspect_container(self._container_id)
        return dict(inspected["State"])


def _verb(outcome: Outcome) -> str:
    return "was cancelled" if outcome.status == state.KILLED else "failed"


_RUNNING: set[ContainerRun] = set()


@atexit.register
def _finish_all() -> None:
    """A process does not leave its runs behind; an interrupt while it waits cancels them."""
    for run in list(_RUNNING):
        try:
            run.result()
        except (RunFailed, KeyboardInterrupt):
            continue
