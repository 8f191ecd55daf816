"""The command as a process: what it imports, and how it leaves."""

from __future__ import annotations

import subprocess
import sys

import pytest

STORE = """
from container_backend.store import lean
lean.leave_out()
import sys
import mlflow
client = mlflow.MlflowClient("sqlite:///{folder}/mlflow.db")
run = client.create_run("0")
client.set_terminated(run.info.run_id)
print(client.get_run(run.info.run_id).info.status, sys.modules["pandas"])
lean.bring_back()
import pandas
print(pandas.DataFrame({{"a": [1]}}).shape)
"""
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


def test_a_store_is_used_without_the_libraries_for_data(tmp_path):
    done = python(STORE.format(folder=tmp_path))
    assert done.stdout == "FINISHED None\n(1, 1)\n", done.stderr


@pytest.mark.parametrize(
    ("end", "code"), [("pass", 0), ("sys.exit(7)", 7), ("sys.exit()", 0), ("sys.exit('no')", 1)]
)
def test_leaving_waits_for_threads_and_keeps_output_and_exit_code(end, code):
    done = python(LEAVING.format(end=end))
    assert (done.stdout, done.returncode) == ("unfinished thread\nat exit\n", code)


def test_an_error_that_nobody_handles_is_seen():
    done = python(LEAVING.format(end="raise OSError('x')"))
    assert done.returncode == 1
    assert "OSError: x" in done.stderr
