"""The processes that finish runs, and what others may see of them."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import Queue

import pytest
from mlflow.tracking import MlflowClient

from container_backend.runs.ledger.ledger import Ledger
from container_backend.runs.supervise.finisher import END, Job
from container_backend.runs.supervise.finishers import Finishers
from tests.support.store import new_store

ADDRESS = "http://me:pa55-word@127.0.0.1:1"


def test_the_password_of_a_store_is_in_no_argument_and_no_log(tmp_path, capfd, monkeypatch):
    """Every user of the machine can read arguments."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///missing.sock")
    answers, answered = [], threading.Event()

    def answer(_job: Job, state: str, said: str) -> None:
        answers.append((state, said))
        answered.set()

    finishers = Finishers(Ledger(tmp_path), answer)
    finishers.submit(Job(END, "0" * 32, "1" * 32), ADDRESS)
    (process,) = finishers._processes.values()
    words = Path(f"/proc/{process._process.pid}/cmdline").read_bytes()
    assert b"container_backend.runs.supervise.finisher" in words or b"python" in words
    assert answered.wait(120)
    assert b"pa55" not in words
    ((state, said),) = answers
    assert state == "again"
    assert "127.0.0.1" in said  # the store was asked
    process._process.stdin.close()
    process._process.wait(60)
    shown = capfd.readouterr()
    assert "pa55" not in said + shown.out + shown.err


@pytest.mark.slow
def test_stores_on_this_disk_share_a_process_and_a_server_has_its_own(tmp_path):
    answers: Queue[tuple[str, str]] = Queue()
    finishers = Finishers(
        Ledger(tmp_path), lambda job, state, _said: answers.put((job.run_id, state))
    )
    ended = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        address = new_store(tmp_path / name)
        ended.append((address, MlflowClient(address).create_run("0").info.run_id))
    for address, run_id in ended:
        finishers.submit(Job(END, run_id, run_id), address)
    assert len(finishers._processes) == 1
    finishers.submit(Job(END, "0" * 32, "1" * 32), "http://127.0.0.1:1")
    assert len(finishers._processes) == 2
    found = dict(answers.get(timeout=120) for _ in range(3))
    assert found == {**{run_id: "done" for _, run_id in ended}, "1" * 32: "again"}
    for address, run_id in ended:
        assert MlflowClient(address).get_run(run_id).info.status == "FAILED"
    for process in finishers._processes.values():
        process._process.stdin.close()
        process._process.wait(60)
