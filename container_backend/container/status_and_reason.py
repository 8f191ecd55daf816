"""A container's state → the status and the reason of its run. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from container_backend.container.marks import CANCELLED, TIMED_OUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.container.described import RunContainer

# MLflow's names: https://mlflow.org/docs/latest/api_reference/python_api/mlflow.entities.html
SCHEDULED: Final = "SCHEDULED"
RUNNING: Final = "RUNNING"
FINISHED: Final = "FINISHED"
FAILED: Final = "FAILED"
KILLED: Final = "KILLED"
TERMINAL: Final = frozenset({FINISHED, FAILED, KILLED})
# Why a run did not finish, for programs: the tag `container_backend.cause`.
CAUSE_PROGRAM: Final = "program"
CAUSE_SIGNAL: Final = "signal"
CAUSE_OUT_OF_MEMORY: Final = "out_of_memory"
CAUSE_KILLED: Final = "killed"
CAUSE_REMOVED: Final = "removed"
CAUSE_ENGINE: Final = "engine"
CAUSE_TIMEOUT: Final = "timeout"
CAUSE_CANCELLED: Final = "cancelled"
CAUSE_NOT_STARTED: Final = "not_started"
CAUSE_CLIENT: Final = "client"
# Exit code of a shell and of the engine for a program that a signal ended: 128 + signal.
_SIGNALS: Final = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 6: "SIGABRT", 9: "SIGKILL",
                   11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM"}  # fmt: skip
# https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_08_02
SHELL_CODES: Final = {126: "command is not executable", 127: "command not found"}
# The engine sets this exit code for a container that it lost, without a `die` event.
LOST: Final = 255
# Exit codes of programs that the engine ended when it stopped or started.
_STOPPED: Final = frozenset({128 + 9, 128 + 15})


@dataclass(frozen=True)
class Signs:
    """Facts about a container that are not in its state.

    Attributes:
        out_of_memory: The kernel ended a process of the container for lack of memory.
        signal: The last signal that the engine sent; 0 for none.
        engine_lost: The engine was away, and the container had ended when the engine was back.
        exit_code: Exit code in the engine's ``die`` event; None without such an event, as for a
            container that the engine lost.
        swallowed_by: The image's entry point if it did not run the command, with no words if the image has
            no shell; else None.
    """

    out_of_memory: bool = False
    signal: int = 0
    engine_lost: bool = False
    exit_code: int | None = None
    swallowed_by: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: FINISHED, FAILED or KILLED.
        reason: A few words for people; empty if the run finished.
        exit_code: None if the program never started.
        cause: One word for programs; empty if the run finished.
    """

    status: str
    reason: str = ""
    exit_code: int | None = None
    cause: str = ""

    @property
    def out_of_memory(self) -> bool:
        return self.cause == CAUSE_OUT_OF_MEMORY


# The client ended before it started the program.
NEVER_CREATED: Final = Outcome(
    FAILED,
    "the command that started this run ended before the program was started",
    cause=CAUSE_CLIENT,
)


def outcome_of(
    state: Mapping[str, Any],
    *,
    ending: str = "",
    signs: Signs = Signs(),
    timeout: float | None = None,
) -> Outcome:
    """The outcome of a run whose container has ended.

    Args:
        state: ``State`` of the inspected container.
            https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerInspect
        ending: The mark of the run (see :mod:`container_backend.container.marks`).
        timeout: Seconds, for the message.
    """
    code = int(state.get("ExitCode") or 0)
    error = str(state.get("Error") or "")
    if marked := _marked(ending, timeout, code):
        return marked
    if state.get("Status") == "created":
        return _never_started(error)
    is_lost = code == LOST and signs.exit_code is None
    if is_lost or (signs.engine_lost and (signs.signal or code in _STOPPED)):
        reason = f"the engine was restarted, or lost the container (exit code {code})"
        return Outcome(FAILED, reason, code, CAUSE_ENGINE)
    out_of_memory = signs.out_of_memory or bool(state.get("OOMKilled"))
    return _ended_by_itself(code, error, signs, out_of_memory=out_of_memory)


def outcome_of_removed(ending: str = "", timeout: float | None = None) -> Outcome:
    """The outcome of a run whose container is gone; see :func:`outcome_of`."""
    removed = Outcome(FAILED, "the container was removed from outside", None, CAUSE_REMOVED)
    return _marked(ending, timeout, None) or removed


def _marked(ending: str, timeout: float | None, code: int | None) -> Outcome | None:
    if ending == CANCELLED:
        return Outcome(KILLED, "cancelled", code, CAUSE_CANCELLED)
    if ending == TIMED_OUT:
        allowed = "" if timeout is None else f" of {timeout:g} s"
        return Outcome(FAILED, f"it took longer than its timeout{allowed}", code, CAUSE_TIMEOUT)
    return None


def _never_started(error: str) -> Outcome:
    if not error:
        return NEVER_CREATED
    reason = f"the container could not be started: {error}"
    return Outcome(FAILED, reason, None, CAUSE_NOT_STARTED)


def _ended_by_itself(code: int, error: str, signs: Signs, *, out_of_memory: bool) -> Outcome:
    if signs.swallowed_by is not None and not (error or out_of_memory):
        return Outcome(FAILED, _swallowed(signs.swallowed_by, code), None, CAUSE_NOT_STARTED)
    if code == 0:
        return Outcome(FINISHED, "", 0)
    reason, cause = _failure(code, error, signs.signal, out_of_memory=out_of_memory)
    return Outcome(FAILED, reason, code, cause)


def _swallowed(entrypoint: tuple[str, ...], code: int) -> str:
    if not entrypoint:
        return (
            "the image has no shell (sh), which runs the command: the program was never started. Name "
            "another image (docker_env: image; or base_image)"
        )
    return (
        f"the image's entry point {json.dumps(entrypoint)} does not run the command: it ended with exit code "
        f'{code}, and the program was never started. To run without it: -A entrypoint="". Or name '
        "another image (docker_env: image; or base_image)"
    )


def _failure(code: int, error: str, signal: int, *, out_of_memory: bool) -> tuple[str, str]:
    """The reason and the cause."""
    if out_of_memory:
        return f"out of memory: the kernel ended it (exit code {code})", CAUSE_OUT_OF_MEMORY
    if error:
        return f"{error} (exit code {code})", CAUSE_NOT_STARTED
    if code in SHELL_CODES:
        return f"{SHELL_CODES[code]} (exit code {code})", CAUSE_PROGRAM
    name = _SIGNALS.get(code - 128)
    if name is None:
        return f"the program ended with exit code {code}", CAUSE_PROGRAM
    if signal == code - 128:
        said = f"killed from outside: a client of the engine sent {name}"
    elif name == "SIGKILL":
        said = f"killed from outside, most likely for want of memory: {name}"
    else:
        return f"ended by {name} (exit code {code})", CAUSE_SIGNAL
    return f"{said} (exit code {code})", CAUSE_KILLED


@dataclass(frozen=True)
class Ending:
    """A run whose program has ended or was never started.

    Attributes:
        container: The container as last inspected; None if never inspected.
        is_gone: The container is missing.
        attempts: How often the program was started.
    """

    run_id: str
    container: RunContainer | None
    is_gone: bool = False
    signs: Signs = field(default_factory=Signs)
    attempts: int = 1

    @property
    def there(self) -> RunContainer | None:
        """The container; None if it is gone."""
        return None if self.is_gone else self.container


def outcome_at(ending: Ending, *, was_created: bool = True) -> Outcome:
    """How a run ended; ``was_created`` is False if its container was never created."""
    found = ending.there
    if found is not None:
        return outcome_of(
            found.state, ending=found.ending, signs=ending.signs, timeout=found.timeout
        )
    if not was_created:
        return NEVER_CREATED
    last = ending.container
    return outcome_of_removed(last.ending if last else "", last.timeout if last else None)
