"""What a container's state says about its run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# MLflow's names: https://mlflow.org/docs/latest/api_reference/python_api/mlflow.entities.html
SCHEDULED: Final = "SCHEDULED"
RUNNING: Final = "RUNNING"
FINISHED: Final = "FINISHED"
FAILED: Final = "FAILED"
KILLED: Final = "KILLED"
TERMINAL: Final = frozenset({FINISHED, FAILED, KILLED})

# Exit codes over 128 are a shell's and the engine's way to say "ended by signal code - 128".
_SIGNALS: Final = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 6: "SIGABRT", 9: "SIGKILL",
                   11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM"}  # fmt: skip
_COMMAND_NOT_FOUND: Final = 127
_COMMAND_NOT_EXECUTABLE: Final = 126


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: FINISHED, FAILED or KILLED.
        reason: In a few words, for people; empty when the run finished.
        exit_code: Of the program; None when it never started.
        out_of_memory: Whether the kernel ended it for want of memory.
    """

    status: str
    reason: str = ""
    exit_code: int | None = None
    out_of_memory: bool = False


def outcome_of(state: Mapping[str, Any], *, cancelled: bool = False) -> Outcome:
    """Map the ``State`` of an inspected container that has ended.

    Args:
        state: As the engine says it: ``ExitCode``, ``OOMKilled``, ``Error``.
            https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerInspect
        cancelled: Whether we asked it to end.
    """
    code = int(state.get("ExitCode") or 0)
    if cancelled:
        return Outcome(KILLED, "cancelled", code)
    if state.get("OOMKilled"):
        return Outcome(FAILED, f"out of memory: the kernel ended it (exit code {code})", code, True)
    if code == 0:
        return Outcome(FINISHED, "", 0)
    return Outcome(FAILED, _reason(code, str(state.get("Error") or "")), code)


def _reason(code: int, error: str) -> str:
    if error:
        return f"{error} (exit code {code})"
    if code == 137:  # noqa: PLR2004 128 + SIGKILL
        return "killed from outside, most likely out of memory (SIGKILL, exit code 137)"
    if code == _COMMAND_NOT_FOUND:
        return "command not found (exit code 127)"
    if code == _COMMAND_NOT_EXECUTABLE:
        return "command is not executable (exit code 126)"
    if (name := _SIGNALS.get(code - 128)) is not None:
        return f"ended by {name} (exit code {code})"
    return f"the program ended with exit code {code}"
