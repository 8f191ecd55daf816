"""What a container's state says about its run. Pure."""

from __future__ import annotations

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
# Exit codes over 128 are a shell's and the engine's way to say "ended by signal code - 128".
_SIGNALS: Final = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 6: "SIGABRT", 9: "SIGKILL",
                   11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM"}  # fmt: skip
# https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_08_02
_SHELL_CODES: Final = {126: "command is not executable", 127: "command not found"}
# What the engine gives a container that it lost, without telling of its end, and what those have
# that it ended: on its way down, or on its way up, where it finds them alive without having been
# told to keep them.
LOST: Final = 255
_STOPPED: Final = frozenset({128 + 9, 128 + 15})


@dataclass(frozen=True)
class Signs:
    """What was seen of a container that its state does not say.

    Attributes:
        out_of_memory: The engine said that a process of it was ended for want of memory.
        signal: The last signal that the engine sent, 0 for none.
        engine_lost: The engine was away, and the container had ended when it was back.
        exit_code: What the engine told of the program's end as it happened; None where it told
            nothing, as of a container that it lost.
        swallowed_by: The image's entry point, as JSON, that has not come to the program; empty for
            a program that was reached.
    """

    out_of_memory: bool = False
    signal: int = 0
    engine_lost: bool = False
    exit_code: int | None = None
    swallowed_by: str = ""


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
        return self.cause == CAUSE_OUT_OF_MEMORY


# Of a run that was left alone before there was anything to run.
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
    """Map the ``State`` of an inspected container that has ended.

    Args:
        state: As the engine says it: ``Status``, ``ExitCode``, ``OOMKilled``, ``Error``.
            https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerInspect
        ending: The mark of its run (see :mod:`container_backend.container.marks`).
        signs: What else was seen of it.
        timeout: The seconds that it had, for the message.
    """
    code = int(state.get("ExitCode") or 0)
    error = str(state.get("Error") or "")
    if ending == CANCELLED:
        return Outcome(KILLED, "cancelled", code, CAUSE_CANCELLED)
    if ending == TIMED_OUT:
        return _timed_out(timeout, code)
    if state.get("Status") == "created":
        return _never_started(error)
    is_lost = code == LOST and signs.exit_code is None
    if is_lost or (signs.engine_lost and (signs.signal or code in _STOPPED)):
        reason = f"the engine was restarted, or lost the container (exit code {code})"
        return Outcome(FAILED, reason, code, CAUSE_ENGINE)
    out_of_memory = signs.out_of_memory or bool(state.get("OOMKilled"))
    return _ended_by_itself(code, error, signs, out_of_memory=out_of_memory)


def outcome_of_removed(ending: str = "", timeout: float | None = None) -> Outcome:
    """How a run ended whose container is gone; see :func:`outcome_of`."""
    if ending == CANCELLED:
        return Outcome(KILLED, "cancelled", None, CAUSE_CANCELLED)
    if ending == TIMED_OUT:
        return _timed_out(timeout, None)
    return Outcome(FAILED, "the container was removed from outside", None, CAUSE_REMOVED)


def _timed_out(timeout: float | None, code: int | None) -> Outcome:
    allowed = "" if timeout is None else f" of {timeout:g} s"
    return Outcome(FAILED, f"it took longer than its timeout{allowed}", code, CAUSE_TIMEOUT)


def _never_started(error: str) -> Outcome:
    if error:
        return Outcome(
            FAILED, f"the container could not be started: {error}", None, CAUSE_NOT_STARTED
        )
    return NEVER_CREATED


def _ended_by_itself(code: int, error: str, signs: Signs, *, out_of_memory: bool) -> Outcome:
    if signs.swallowed_by and not (error or out_of_memory):
        return Outcome(FAILED, _swallowed(signs.swallowed_by, code), None, CAUSE_NOT_STARTED)
    if code == 0:
        return Outcome(FINISHED, "", 0)
    reason, cause = _failure(code, error, signs.signal, out_of_memory=out_of_memory)
    return Outcome(FAILED, reason, code, cause)


def _swallowed(entrypoint: str, code: int) -> str:
    return (
        f"the image's entry point {entrypoint} does not run the command: it ended with exit code "
        f"{code}, and the program was never started. Name another image (docker_env: image; or "
        'base_image), or one made from it with "ENTRYPOINT []"'
    )


def _failure(code: int, error: str, signal: int, *, out_of_memory: bool) -> tuple[str, str]:
    """The reason and the cause of a failure."""
    if out_of_memory:
        return f"out of memory: the kernel ended it (exit code {code})", CAUSE_OUT_OF_MEMORY
    if error:
        return f"{error} (exit code {code})", CAUSE_NOT_STARTED
    if code in _SHELL_CODES:
        return f"{_SHELL_CODES[code]} (exit code {code})", CAUSE_PROGRAM
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
    """A run whose program will not go on, as far as it is known.

    Attributes:
        run_id: Of the run.
        container: Its container as it was seen last; None where it was never seen.
        is_gone: Whether there is no container any more.
        signs: What else was seen of it.
        attempts: How many times the program was started.
    """

    run_id: str
    container: RunContainer | None
    is_gone: bool = False
    signs: Signs = field(default_factory=Signs)
    attempts: int = 1

    @property
    def there(self) -> RunContainer | None:
        """The container, where there still is one."""
        return None if self.is_gone else self.container


def outcome_at(ending: Ending, *, was_created: bool = True) -> Outcome:
    """How a run ended.

    Args:
        ending: What is known.
        was_created: Whether there ever was a container.
    """
    found = ending.there
    if found is not None:
        return outcome_of(
            found.state, ending=found.ending, signs=ending.signs, timeout=found.timeout
        )
    if not was_created:
        return NEVER_CREATED
    last = ending.container
    return outcome_of_removed(last.ending if last else "", last.timeout if last else None)
