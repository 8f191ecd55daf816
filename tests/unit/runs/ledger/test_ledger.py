"""The notes on runs that are not finished yet."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from container_backend import labels_and_tags
from container_backend.engine import EngineHost
from container_backend.labels_and_tags import TEMPORARY_PREFIX
from container_backend.machine.outside import run_id_in, submission_in
from container_backend.project.downloads import choose_storage
from container_backend.runs.ledger.ledger import Ledger, Note, ledger_of

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
    entry.note_attempt(3, 15.5)
    assert entry.read() == replace(NOTE, attempts=3, resumes=15.5)
    entry.remove()
    entry.note_attempt(4, 20)  # no note of no run
    assert entry.read() is None


def test_an_entry_goes_with_its_temporary_folders_and_twice_is_fine(tmp_path):
    fetched = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX)).resolve()
    downloads = choose_storage(None)
    downloads.mkdir()
    for temporary in (fetched, downloads):
        (temporary / "file").touch()
    ledger = Ledger(tmp_path / "ledger")
    entry = ledger.new_entry()
    entry.write(replace(NOTE, temporary=(str(fetched), str(downloads))))
    entry.remove()
    entry.remove()
    assert not fetched.exists()
    assert not downloads.exists()
    assert not entry.folder.exists()
    assert list(ledger.entries()) == []


def test_a_folder_that_was_not_made_for_a_run_stays_whatever_a_note_says(tmp_path, monkeypatch):
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    made = f"{TEMPORARY_PREFIX}0123abcd"
    outside = tmp_path / "thesis"
    (place / "thesis").mkdir()
    (outside / made).mkdir(parents=True)
    (place / f"{made}x").symlink_to(outside)
    (place / made).mkdir()
    os.chown(place / made, 4321, 4321)
    named = [
        outside,
        place,
        place / "thesis",
        outside / made,
        place / f"{made}x",
        place / f"{made}x" / made,
        place / made,  # of another user
        place / made / "..",
    ]
    entry = Ledger(tmp_path / "ledger").new_entry()
    entry.write(replace(NOTE, temporary=tuple(map(str, named))))
    entry.remove()
    assert [folder.exists() for folder in named] == [True] * len(named)
    assert not entry.folder.exists()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/home/me/thesis", "../" * 3 + "0" * 32, "0" * 31, "0" * 33, "0" * 31 + "A",
             "0" * 32 + "\n", "0" * 31 + "\u0660", "0" * 31 + "/"]
)  # fmt: skip
def test_what_is_no_name_of_an_entry_never_becomes_a_path(tmp_path, name):
    with pytest.raises(ValueError, match="no name of an entry"):
        Ledger(tmp_path).entry(name)
    labels = {labels_and_tags.LABEL_RUN_ID: "1" * 32, labels_and_tags.LABEL_SUBMISSION: name}
    assert submission_in(labels) == ("" if name else "1" * 32)
    assert run_id_in({labels_and_tags.LABEL_RUN_ID: name}) in {"", "0" * 31}


def test_a_strange_file_among_the_entries_is_none(tmp_path):
    ledger = Ledger(tmp_path)
    entry = ledger.new_entry()
    entry.write(NOTE)
    (entry.folder.parent / "lost+found").mkdir()
    assert ledger.submissions() == [entry.submission]


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
        "import sys; from pathlib import Path; from container_backend.runs.ledger.ledger import Ledger\n"
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
