"""Commands of this environment, and the processes that they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import in_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def command(*arguments: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A command of this environment, running; ended by its pid if the test did not wait."""
    program = str(Path(sys.executable).with_name(arguments[0]))
    process = subprocess.Popen(
        [program, *arguments[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def run_command(
    program: str,
    *arguments: str,
    check: bool = False,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """A command of this environment, to its end; ours and MLflow's run in this process.

    That saves their start. What is about the process itself (signals, start, logging to files,
    output of its children) needs :func:`run_process`.
    """
    if program not in in_process.PROGRAMS:
        return run_process(program, *arguments, check=check, cwd=cwd, env=env)
    done = in_process.run_in_process(program, arguments, cwd=cwd, env=env)
    assert not check or done.returncode == 0, done.stderr
    return done


def run_process(
    *arguments: str, check: bool = False, **options: object
) -> subprocess.CompletedProcess[str]:
    """A command of this environment, to its end; with ``check``, it must not fail."""
    with command(*arguments, **options) as process:
        out, err = process.communicate(timeout=300)
    assert not check or process.returncode == 0, err
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def run_uv(*arguments: object, cwd: Path | None = None) -> None:
    """The uv of this environment, with the certificates of this machine."""
    subprocess.run(
        [Path(sys.executable).with_name("uv"), *map(str, arguments)],
        cwd=cwd,
        check=True,
        env={**os.environ, "UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"},
    )
