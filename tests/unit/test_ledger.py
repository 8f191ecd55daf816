"""The notes on runs that are not finished yet."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

from container_backend.engine import EngineHost
from container_backend.ledger import Ledger, Note, ledger_of

NOTE = Note("sqlite:///ünï code.db", "1", "abc", ("/no/such/folder",), 2)


def test_a_note_is_read_as_it_was_written(tmp_path):
    ledger = Ledger(tmp_path / "a b")
    entry = ledger.new_entry()
    assert entry.read() is None
    assert list(ledger.entries()) == ledger.submissions() == []
    entry.write(NOTE)
    entry.write(replace(NOTE, attempts=3))
    assert entry.read() == replace(NOTE, attempts=3)
    assert [each.submission for each in ledger.entries()] == [entry.submission]
    assert ledger.submissions() == [entry.submission]
    assert entry.folder.stat().st_mode & 0o777 == 0o700


def test_what_is_not_whole_is_no_note(tmp_path):
    entry = Ledger(tmp_path).new_entry()
    entry.write(NOTE)
    (file,) = entry.folder.iterdir()
    for text in ("", '{"tracking_uri": "x"', "[]", '{"temporary": []}', '{"temporary": 1}'):
        file.write_text(text)
        assert entry.read() is None, text


def test_attempts_are_counted(tmp_path):
    entry = Ledger(tmp_path).new_entry()
    entry.write(replace(NOTE, attempts=1))
    before = time.time()
    assert [entry.count_attempt(lambda n: 5 * n) for _ in range(2)] == [(2, 10), (3, 15)]
    assert before + 15 <= entry.read().resumes <= time.time() + 15
    assert replace(entry.read(), resumes=0) == replace(NOTE, attempts=3)


def test_an_entry_goes_with_its_temporary_folders_and_twice_is_fine(tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (temporary / "file").touch()
    ledger = Ledger(tmp_path / "ledger")
    entry = ledger.new_entry()
    entry.write(replace(NOTE, temporary=(str(temporary),)))
    entry.remove()
    entry.remove()
    assert not temporary.exists()
    assert not entry.folder.exists()
    assert list(ledger.entries()) == []


def test_a_folder_that_cannot_be_written_to_stops_nothing(tmp_path):
    (tmp_path / "file").touch()
    ledger = Ledger(tmp_path / "file")
    entry = ledger.new_entry()
    entry.write(NOTE)
    assert entry.read() is None
    assert list(ledger.entries()) == []
    entry.remove()


def test_a_lock_ends_with_the_process_that_held_it(tmp_path):
    entry = Ledger(tmp_path).new_entry()
    program = (
        "import sys; from pathlib import Path; from container_backend.ledger import Ledger\n"
        "lock = Ledger(Path(sys.argv[1])).entry(sys.argv[2]).lock(); lock.own()\n"
        "print('mine', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), entry.submission],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with entry.lock() as lock:
        assert holder.stdout.readline() == b"mine\n"
        assert not lock.try_to_own()
        holder.kill()
        holder.communicate()
        assert lock.try_to_own()


def test_each_engine_has_a_ledger_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, two = (ledger_of(EngineHost(f"unix:///{name}")) for name in "ab")
    assert one == ledger_of(EngineHost("unix:///a"))
    assert one.folder != two.folder
    assert tmp_path in one.folder.parents
