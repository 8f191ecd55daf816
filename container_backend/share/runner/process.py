"""Becoming the program, or being the first process of its container.

As its container's first process (PID 1), a program gets no signal that it has no handler for, and
no process reaps its children when they have ended: https://docs.docker.com/reference/cli/docker/container/run/#init
So a process of ours stays the first one, where there is no other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from container_backend.share.runner.arguments import find_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOT_FOUND: Final = 127
NOT_STARTED: Final = 126
_SIGNALLED: Final = 128
_FIRST: Final = 1
# Those that a process gets of its own doing; and those of terminals, which stop it.
_OWN: Final = frozenset(
    {
        signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE,
        signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS,
        signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP,
    }
)  # fmt: skip
_TO_STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


def run_program(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end; where this is not the first process, become it.

    Args:
        words: The command.
        environment: Its variables.

    Returns:
        Its exit code; 128 and the signal's number where a signal ended it, as in a shell.
    """
    if os.getpid() != _FIRST:
        _become(words, environment)
    return _supervise(words, environment)


def _become(words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Python ignores two signals; a program expects to find all as usual."""
    sys.stdout.flush()
    sys.stderr.flush()
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvpe(words[0], list(words), dict(environment))  # noqa: S606 what was asked for
    except OSError as error:
        missing = find_program(words[0], environment) is None
        reason = "command not found" if missing else error.strerror
        sys.stderr.write(f"Error: {words[0]}: {reason}\n")
        sys.stderr.flush()
        os._exit(NOT_FOUND if missing else NOT_STARTED)


def _supervise(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Start a command, hand signals on to all of its processes, and bury them."""
    handled = set(signal.valid_signals()) - _OWN
    before = signal.pthread_sigmask(signal.SIG_BLOCK, handled | {signal.SIGTTOU})
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
            if os.isatty(0):
                os.tcsetpgrp(0, os.getpid())
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _become(words, environment)
    with contextlib.suppress(OSError):  # the process may have ended
        os.setpgid(child, child)
    code = None
    is_stopping = False
    while True:
        received = signal.sigwait(handled)
        if received != signal.SIGCHLD:
            is_stopping = is_stopping or received in _TO_STOP
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, received)
            continue
        ended, is_alone = _bury()
        code = ended.get(child, code)
        # A shell that is told to stop goes at once; what it has started is given its time.
        if code is not None and (is_alone or not is_stopping):
            return code


def _bury() -> tuple[dict[int, int], bool]:
    """The exit codes of processes that have ended, and whether there are no others."""
    codes: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return codes, True
        if pid == 0:
            return codes, False
        is_signalled = os.WIFSIGNALED(status)
        codes[pid] = _SIGNALLED + os.WTERMSIG(status) if is_signalled else os.WEXITSTATUS(status)
