"""How a supervisor is started."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import container_backend
from container_backend.container.statistics import Sample, append_sample
from container_backend.engine import EngineHost
from container_backend.errors import ContainerBackendError
from container_backend.image.prune import image_lock, record_use
from container_backend.labels_and_tags import ENV_OWNER
from container_backend.machine.background import _MOST_LOG_BYTES, _environment
from container_backend.machine.owner import owner_id
from container_backend.runs.ledger.ledger import METRICS, Note, ledger_of
from container_backend.runs.ledger.start import _start, ensure_supervisor, supervisor_lock
from container_backend.runs.output.spool import LogSpool
from container_backend.runs.supervise.process import _is_mine, supervise

HOST = EngineHost("unix:///missing/engine.sock")


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "my state"))
    return tmp_path / "my state"


def test_it_reaches_engine_and_store_as_its_caller_but_has_no_run():
    given = {"DOCKER_HOST": "x", "MLFLOW_TRACKING_TOKEN": "t", "MLFLOW_RUN_ID": "1", "PYTHONPATH": "/p"}  # fmt: skip
    made = _environment(given)
    assert made["DOCKER_HOST"] == "x"
    assert made["MLFLOW_TRACKING_TOKEN"] == "t"
    assert "MLFLOW_RUN_ID" not in made
    package = str(Path(container_backend.__file__).parents[1])
    assert made["PYTHONPATH"].split(os.pathsep) == [package, "/p"]


def test_where_there_is_one_none_is_started(state):
    with supervisor_lock(ledger_of(HOST)) as lock:
        assert lock.try_to_own()
        ensure_supervisor(HOST)
    assert not ledger_of(HOST).supervisor_log.exists()


def test_threads_that_want_one_at_the_same_time_start_one(state, monkeypatch):
    started = []
    monkeypatch.setattr("container_backend.runs.ledger.start._start", lambda *_: started.append(1))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ensure_supervisor(HOST, {}), range(32)))
    assert len(started) == 1


def test_one_that_is_gone_is_started_again(state, monkeypatch):
    started = []
    monkeypatch.setattr("container_backend.runs.ledger.start._start", lambda *_: started.append(1))
    monkeypatch.setattr("container_backend.runs.ledger.start._START_SECONDS", 0)
    ensure_supervisor(HOST, {})
    ensure_supervisor(HOST, {})
    assert len(started) == 2


def test_who_looks_whether_there_is_one_is_not_taken_for_one(state, monkeypatch):
    monkeypatch.setattr("container_backend.runs.supervise.process._LOCK_PAUSE_SECONDS", 0.5)
    ledger = ledger_of(HOST)
    ledger.make()
    looking = supervisor_lock(ledger)
    assert looking.try_to_own()
    threading.Timer(0.05, looking.close).start()
    with supervisor_lock(ledger) as lock:
        assert _is_mine(lock)


def test_in_a_container_it_is_the_hosts():
    ensure_supervisor(HOST, {ENV_OWNER: "the host's"})
    assert not ledger_of(HOST).folder.exists()


def test_where_none_can_be_started_that_is_said_and_nothing_else(state, caplog):
    state.write_text("a file in the way")
    for _ in range(2):
        ensure_supervisor(HOST, {})
    assert caplog.text.count("No supervisor could be started: Not a directory: ") == 1
    assert str(state) in caplog.text
    assert "Set XDG_STATE_HOME" in caplog.text


def test_a_supervisor_without_a_place_for_its_notes_is_refused(state):
    state.write_text("a file in the way")
    with pytest.raises(ContainerBackendError, match=r"cannot keep anything: Not a directory: "):
        supervise(HOST, stays=True)


def test_its_log_does_not_grow_for_ever(state, monkeypatch):
    ledger = ledger_of(HOST)
    ledger.folder.mkdir(parents=True)
    ledger.supervisor_log.write_bytes(b"x" * (_MOST_LOG_BYTES + 1))
    monkeypatch.setattr("container_backend.machine.background._AGAIN", "echo begun")
    monkeypatch.setattr("shutil.which", lambda _: "/bin/sh")
    _start(HOST, ledger, os.environ)
    assert ledger.supervisor_log.stat().st_size < 1000
    assert ledger.supervisor_log.with_name("supervisor.log.1").stat().st_size > _MOST_LOG_BYTES


def test_neither_its_log_nor_its_folder_can_be_read_by_others(state):
    """Nor those that an older version made."""
    ledger = ledger_of(HOST)
    ledger.folder.mkdir(parents=True)
    state.chmod(0o755)
    (state / "container-backend").chmod(0o755)
    ledger.supervisor_log.touch(mode=0o644)
    _start(EngineHost("unix:///missing.sock"), ledger, {"PATH": "/missing", "DOCKER_HOST": "x://"})
    assert ledger.supervisor_log.stat().st_mode & 0o777 == 0o600
    assert (state / "container-backend").stat().st_mode & 0o777 == 0o700


def test_what_is_kept_of_runs_can_be_read_by_this_user_alone(state):
    owner_id({"XDG_STATE_HOME": str(state)})
    entry = ledger_of(HOST).new_entry()
    entry.write(Note("sqlite://", "0"))
    LogSpool(entry.folder / "logs", ()).close()
    append_sample(entry.folder / METRICS, Sample(1.0, 0, {}))
    with image_lock(HOST, "a"):
        record_use(HOST, "a", "project")
    found = [path for path in state.rglob("*") if path != state]
    assert len(found) > 10
    modes = {path: path.stat().st_mode & 0o777 for path in found}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}, modes
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}, modes
