"""Become the program, or stay the first process of the container and start the program.

The first process (PID 1) of a container gets no signal without a handler, and must reap ended
children: https://docs.docker.com/reference/cli/docker/container/run/#init
So the runner stays the first process, unless ``docker run --init`` provides another one.
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
# Signals for errors of the process itself, and signals of terminals that would stop the process.
_OWN: Final = frozenset(
    {
        signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE,
        signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS,
        signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP,
    }
)  # fmt: skip
_TO_STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


def run_program(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end; does not return if this is not the first process.

    Returns:
        The exit code; 128 plus the number of the signal that ended the command, as in a shell.
    """
    if os.getpid() != _FIRST:
        _become(words, environment)
    return _supervise(words, environment)


def _become(words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process, and restore the two signals that Python ignores."""
    sys.stdout.flush()
    sys.stderr.flush()
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvpe(words[0], list(words), dict(environment))  # noqa: S606 the user's command
    except OSError as error:
        missing = find_program(words[0], environment) is None
        reason = "command not found" if missing else error.strerror
        sys.stderr.write(f"Error: {words[0]}: {reason}\n")
        sys.stderr.flush()
        os._exit(NOT_FOUND if missing else NOT_STARTED)


def _supervise(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Start a command, pass signals on to its process group, and reap ended processes."""
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
        ended, is_alone = _reap()
        code = ended.get(child, code)
        # A shell that gets SIGTERM ends at once; its children get time to end.
        if code is not None and (is_alone or not is_stopping):
            return code


def _reap() -> tuple[dict[int, int], bool]:
    """The exit codes of ended processes by id, and true if no other process is left."""
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
