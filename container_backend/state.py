"""What a container's state says about its run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from container_backend.names import CANCELLED, TIMED_OUT

if TYPE_CHECKING:
    from collections.abc import Mapping

# MLflow's names: https://mlflow.org/docs/latest/api_reference/python_api/mlflow.entities.html
SCHEDULED: Final = "SCHEDULED"
RUNNING: Final = "RUNNING"
FINISHED: Final = "FINISHED"
FAILED: Final = "FAILED"
KILLED: Final = "KILLED"
TERMINAL: Final = frozenset({FINISHED, FAILED, KILLED})

# Why a run did not finish, for programs: the tag `container_backend.cause`.
PROGRAM: Final = "program"
SIGNAL: Final = "signal"
OUT_OF_MEMORY: Final = "out_of_memory"
KILLED_FROM_OUTSIDE: Final = "killed"
REMOVED: Final = "removed"
ENGINE: Final = "engine"
TIMEOUT: Final = "timeout"
CANCEL: Final = "cancelled"
NOT_STARTED: Final = "not_started"
CLIENT: Final = "client"

# Exit codes over 128 are a shell's and the engine's way to say "ended by signal code - 128".
_SIGNALS: Final = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 6: "SIGABRT", 9: "SIGKILL",
                   11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM"}  # fmt: skip
_SIGKILL: Final = 9
_COMMAND_NOT_FOUND: Final = 127
_COMMAND_NOT_EXECUTABLE: Final = 126
# What the engine gives a container that it lost, and those that a dying engine gives.
_LOST: Final = 255
_ENDED_WITH_ENGINE: Final = frozenset({0, _LOST, 128 + 9, 128 + 15})


@dataclass(frozen=True)
class Signs:
    """What was seen of a container that its state does not say.

    Attributes:
        out_of_memory: The engine said that a process of it was ended for want of memory.
        signal: The last signal that somebody had the engine send, 0 for none.
        engine_lost: The engine was away when it ended.
    """

    out_of_memory: bool = False
    signal: int = 0
    engine_lost: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: FINISHED, FAILED or KILLED.
        reason: In a few words, for people; empty when the run finished.
        exit_code: Of the program; None when it never started.
        cause: In one word, for programs; empty when the run finished.
    """

    status: str
    reason: str = ""
    exit_code: int | None = None
    cause: str = ""

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel ended it for want of memory."""
        return self.cause == OUT_OF_MEMORY


def outcome_of(
    state: Mapping[str, Any],
    *,
    ending: str = "",
    signs: Signs = Signs(),  # noqa: B008 frozen
    timeout: float | None = None,
) -> Outcome:
    """Map the ``State`` of an inspected container that has ended.

    Args:
        state: As the engine says it: ``Status``, ``ExitCode``, ``OOMKilled``, ``Error``.
            https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerInspect
        ending: What its name ends with, where we asked it to end (see :mod:`names`).
        signs: What else was seen of it.
        timeout: The seconds that it had, for the message.
    """
    code = int(state.get("ExitCode") or 0)
    error = str(state.get("Error") or "")
    if ending == CANCELLED:
        return Outcome(KILLED, "cancelled", code, CANCEL)
    if ending == TIMED_OUT:
        return Outcome(FAILED, f"it took longer than its timeout of {timeout:g} s", code, TIMEOUT)
    if state.get("Status") == "created":
        return _never_started(error)
    if state.get("OOMKilled") or (signs.out_of_memory and code != 0):
        reason = f"out of memory: the kernel ended it (exit code {code})"
        return Outcome(FAILED, reason, code, OUT_OF_MEMORY)
    if code == _LOST or (signs.engine_lost and code in _ENDED_WITH_ENGINE and not signs.signal):
        if code != 0 or signs.engine_lost:
            reason = f"the engine was restarted, or lost the container (exit code {code})"
            return Outcome(FAILED, reason, code, ENGINE)
    if code == 0:
        return Outcome(FINISHED, "", 0)
    return Outcome(FAILED, *_failure(code, error, signs))


def removed(ending: str = "") -> Outcome:
    """How a run ended whose container is gone."""
    if ending == CANCELLED:
        return Outcome(KILLED, "cancelled", None, CANCEL)
    return Outcome(FAILED, "the container was removed from outside", None, REMOVED)


def _never_started(error: str) -> Outcome:
    if error:
        return Outcome(FAILED, f"the container could not be started: {error}", None, NOT_STARTED)
    reason = "the command that started this run ended before the program was started"
    return Outcome(FAILED, reason, None, CLIENT)


def _failure(code: int, error: str, signs: Signs) -> tuple[str, int, str]:
    if error:
        return f"{error} (exit code {code})", code, NOT_STARTED
    if code == _COMMAND_NOT_FOUND:
        return "command not found (exit code 127)", code, PROGRAM
    if code == _COMMAND_NOT_EXECUTABLE:
        return "command is not executable (exit code 126)", code, PROGRAM
    name = _SIGNALS.get(code - 128)
    if name is None:
        return f"the program ended with exit code {code}", code, PROGRAM
    if signs.signal == code - 128:
        reason = f"killed from outside: somebody had the engine send {name} (exit code {code})"
        return reason, code, KILLED_FROM_OUTSIDE
    if code - 128 == _SIGKILL:
        reason = "killed from outside, most likely out of memory (SIGKILL, exit code 137)"
        return reason, code, KILLED_FROM_OUTSIDE
    return f"ended by {name} (exit code {code})", code, SIGNAL
