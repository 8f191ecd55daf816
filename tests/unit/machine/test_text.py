"""Tables for people: of runs, their ages, sizes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from container_backend import labels_and_tags
from container_backend.cli.runs import run_table
from container_backend.container.described import RunContainer
from container_backend.container.marks import CANCELLED, KEPT, TIMED_OUT, container_name
from container_backend.container.statistics import Usage
from container_backend.machine.text import harmless, human_age, human_size, table
from container_backend.runs.listing import ListedRun, _listed

LABELS = {
    labels_and_tags.LABEL_RUN_ID: "0123456789abcdef0123456789abcdef",
    labels_and_tags.LABEL_EXPERIMENT: "Größen",
    labels_and_tags.LABEL_PROJECT: "salary",
    labels_and_tags.LABEL_ENTRY_POINT: "main",
    labels_and_tags.LABEL_IMAGE: "team/image:1",
    labels_and_tags.LABEL_TRACKING_URI: "sqlite:///x.db",
}
RUNNING = RunContainer(
    "id",
    container_name("0123"),
    LABELS,
    {"Status": "running", "StartedAt": "2026-01-31T12:00:00.5Z"},
    {},
    "true",
)
EXITED = replace(
    RUNNING,
    state={
        "Status": "exited",
        "ExitCode": 3,
        "StartedAt": "2026-01-31T12:00:00.5Z",
        "FinishedAt": "2026-01-31T12:01:30.5Z",
    },
)


def listed(container: RunContainer, used: Usage | None = None) -> ListedRun:
    return _listed(container, "sha256:1", used)


def test_a_run_that_goes_on_in_a_line():
    head, line = run_table([replace(listed(RUNNING, Usage(99.6, 81_700_000, None)), seconds=5)]).split("\n")  # fmt: skip
    assert head.split("  ")[0] == "RUN"
    assert line.split() == [
        "0123456789ab", "Größen", "salary", "main", "team/image:1", "running", "5", "s",
        "100", "%", "81.7", "MB",
    ]  # fmt: skip
    assert head.index("EXPERIMENT") == line.index("Größen")


def test_a_run_whose_program_has_ended():
    run = listed(EXITED)
    assert (run.state, run.exit_code, run.seconds) == ("exited", 3, 90)
    assert run_table([run]).split("\n")[1].endswith("exited (3)  2 min  -    -")


@pytest.mark.parametrize(
    ("container", "state"),
    [
        (replace(RUNNING, name=container_name("1", CANCELLED)), "stopping"),
        (replace(RUNNING, name=container_name("1", TIMED_OUT)), "stopping"),
        (replace(EXITED, name=container_name("1", CANCELLED)), "exited"),
        (replace(EXITED, name=container_name("1", KEPT)), "kept"),
        (replace(RUNNING, state={"Status": "paused"}), "paused"),
    ],
)
def test_states(container, state):
    assert listed(container).state == state


def test_one_that_was_never_started_has_no_age_and_no_exit_code():
    run = listed(replace(RUNNING, state={"Status": "created", "ExitCode": 0}))
    assert (run.started_at, run.seconds, run.exit_code) == (None, None, None)
    assert "created" in run_table([run])


def test_what_an_older_version_did_not_label_is_said_as_far_as_it_is_known():
    bare = {labels_and_tags.LABEL_RUN_ID: "0123", labels_and_tags.LABEL_EXPERIMENT_ID: "7"}
    run = listed(replace(RUNNING, labels=bare))
    assert (run.experiment, run.image, run.project) == ("7", "sha256:1", "")


def test_programs_get_numbers():
    said = json.loads(json.dumps(listed(EXITED, None).as_json()))
    assert said["seconds"] == 90
    assert said["exit_code"] == 3
    assert said["cpu_percent"] is None


def test_ages_and_sizes():
    assert [human_age(each) for each in (59, 60, 7200, 3 * 86_400)] == [
        "now",
        "1 min",
        "2 h",
        "3 d",
    ]
    assert [human_size(each) for each in (0, 999, 1000, 1.07e9, 2e12)] == [
        "0 B", "999 B", "1 kB", "1.07 GB", "2 TB",
    ]  # fmt: skip


def test_columns_are_as_wide_as_what_is_in_them():
    assert table(["A", "B"], [["long", "x"], ["", "y"]]) == "A     B\nlong  x\n      y"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gr\u00fcn \u6570\u636e \U0001f433", "gr\u00fcn \u6570\u636e \U0001f433"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),  # joined emoji
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\nINFO b", r"a\r\nINFO b"),
        ("a\u2028b\u2029c\x85", r"a\u2028b\u2029c\x85"),
        ("exe\u202etxt\u2066\u200e\ufeff", r"exe\u202etxt\u2066\u200e\ufeff"),
        ("half \ud800", r"half \ud800"),
    ],
)
def test_a_text_of_others_moves_nothing_on_a_terminal(text, shown):
    assert harmless(text) == shown


def test_what_is_kept_stays():
    assert harmless("a\tb\n\x1b", kept="\n\t") == "a\tb\n\\x1b"


def test_a_cell_of_a_table_is_one_line_without_controls():
    assert table(("NAME", "AGE"), [("a\nb\x1b[1m", "1 d")]) == (
        "NAME         AGE\na\\nb\\x1b[1m  1 d"
    )
