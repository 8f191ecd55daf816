"""The command as a process: what it imports, and how it leaves."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEAVING = """
import atexit, sys, threading, time
from container_backend.cli import process
def main():
    atexit.register(lambda: print("at exit"))
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    sys.stdout.write("unfinished ")
    {end}
process.main = main
process.run_program()
"""


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("end", "code"), [("pass", 0), ("sys.exit(7)", 7), ("sys.exit()", 0), ("sys.exit('no')", 1)]
)
def test_leaving_waits_for_threads_and_keeps_output_and_exit_code(end, code):
    done = python(LEAVING.format(end=end))
    assert (done.stdout, done.returncode) == ("unfinished thread\nat exit\n", code)


def test_an_error_that_is_not_handled_is_seen():
    done = python(LEAVING.format(end="raise OSError('x')"))
    assert done.returncode == 1
    assert "OSError: x" in done.stderr
