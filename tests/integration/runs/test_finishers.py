"""The processes that finish runs, and what others may see of them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from container_backend.runs.ledger.ledger import Ledger
from container_backend.runs.supervise.finisher import END, Job
from container_backend.runs.supervise.finishers import _QUICK, _Process

ADDRESS = "http://me:pa55-word@127.0.0.1:1"


def test_the_password_of_a_store_is_in_no_argument_and_no_log(tmp_path, capfd, monkeypatch):
    """Every user of the machine can read arguments."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///missing.sock")
    answers, answered = [], threading.Event()

    def answer(_job: Job, state: str, said: str) -> None:
        answers.append((state, said))
        answered.set()

    process = _Process(Ledger(tmp_path), ADDRESS, {**os.environ, **_QUICK}, answer)
    words = Path(f"/proc/{process._process.pid}/cmdline").read_bytes()
    assert b"container_backend.runs.supervise.finisher" in words or b"python" in words
    assert process.submit(Job(END, "0" * 32, "1" * 32))
    assert answered.wait(120)
    assert b"pa55" not in words
    ((state, said),) = answers
    assert state == "again"
    assert "127.0.0.1" in said  # the store was asked
    process._process.stdin.close()
    process._process.wait(60)
    shown = capfd.readouterr()
    assert "pa55" not in said + shown.out + shown.err
