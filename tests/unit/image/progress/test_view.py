"""A build's events, folded to what people see."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path

import pytest

from container_backend.image.buildkit.trace import BuildLog, StepEvent
from container_backend.image.progress.show import built_line, is_terminal, log_steps
from container_backend.image.progress.steps import describe_step
from container_backend.image.progress.view import BuildView, duration, plain_text

MOUNTS = "--mount=type=bind,source=build,target=/build     --mount=type=secret,id=netrc     "
PREPARE = f"[base 2/2] RUN {MOUNTS}sh /build/prepare.sh 3.11 /mlflow/environment"
RESOLVE = f"[lock 1/1] RUN {MOUNTS}sh /build/resolve.sh requirements /mlflow/environment /lock"


def install(layer: str) -> str:
    return f"[environment 1/5] RUN {MOUNTS}sh /build/install.sh /mlflow/environment {layer}"


def said(view: BuildView, now: float = 0.0) -> list[tuple[str, str, str, str]]:
    return [(step.state, step.words, step.time(now), step.detail) for step in view]


def view_of(*events: StepEvent) -> BuildView:
    view = BuildView()
    for event in events:
        view.add(event, 0.0)
    return view


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (PREPARE, "checking for Python 3.11"),
        (RESOLVE, "resolving the requirements"),
        (install("heavy"), "installing the heavy packages"),
        ("[base 1/2] FROM docker.io/library/python:3.11-slim", "getting python:3.11-slim"),
        ("[base 1/2] FROM quay.io/a/b@sha256:12ab", "getting quay.io/a/b"),
        (
            "[internal] load metadata for docker.io/library/python:3.11-slim",
            "looking up python:3.11-slim",
        ),
        ("[internal] load remote build context", None),
        ("copy /context /", None),
        ("[environment 5/5] WORKDIR /mlflow/projects/code", None),
        (f"[base 2/3] RUN {MOUNTS}make   it", "RUN make it"),
        (
            "[base 2/3] RUN " + "word " * 20,
            "RUN word word word word word word word word word word word …",
        ),
        ("exporting to image", "writing the image"),
    ],
)
def test_steps_in_words(name, words):
    assert describe_step(name) == words


def test_a_step_runs_and_is_done():
    view = BuildView()
    view.add(StepEvent(RESOLVE, "started"), 100.0)
    assert said(view, 101.24) == [("running", "resolving the requirements", "1.2 s", "")]
    view.add(StepEvent(RESOLVE, "output", text="heavy: 3 packages"), 102.0)
    view.add(StepEvent(RESOLVE, "output", text="light: 10 packages"), 102.0)
    view.add(StepEvent(RESOLVE, "completed", 2.5), 103.0)
    assert said(view, 200.0) == [("done", "resolving the requirements", "2.5 s", "13 packages")]


def test_a_step_that_took_no_time_is_not_shown():
    assert said(view_of(StepEvent(PREPARE, "started"), StepEvent(PREPARE, "completed", 0.04))) == []


def test_the_bytes_of_a_base_image():
    view = view_of(StepEvent("[base 1/2] FROM a", "started"))
    view.add(StepEvent("[base 1/2] FROM a", "transfer", current=45_200_000, total=190_000_000), 0)
    assert said(view) == [("running", "getting a", "0.0 s", "45 of 190 MB")]


def test_a_base_image_that_is_looked_up_and_then_downloaded():
    name = "[base 1/2] FROM a"
    view = view_of(StepEvent(name, "started"), StepEvent(name, "completed", 0.04))
    assert said(view) == []
    view.add(StepEvent(name, "started"), 10.0)
    view.add(StepEvent(name, "transfer", None, "extract", 150_000_000, 150_000_000), 11.0)
    assert said(view, 12.0) == [("running", "getting a", "2.0 s", "150 MB, unpacking")]
    view.add(StepEvent(name, "completed", 2.5), 12.5)
    assert said(view) == [("done", "getting a", "2.5 s", "150 MB")]


def test_a_real_download_of_a_base_image():
    """Of a layer of 150 MB, from an engine 20.10: what it told until the first step ran."""
    trace = json.loads(Path(__file__).with_name("traces").joinpath("base-image.json").read_text())
    log, view = BuildLog(), BuildView()
    details = []
    for message in trace:
        for event in log.add(base64.b64decode(message)):
            step = view.add(event, 0.0)
            details += [step.detail] if step and step.words.startswith("getting") else []
    assert [detail for detail in dict.fromkeys(details) if detail] == [
        "31 of 150 MB",
        "62 of 150 MB",
        "87 of 150 MB",
        "118 of 150 MB",
        "150 of 150 MB",
        "150 MB, unpacking",
        "150 MB",
    ]
    assert said(view)[0] == ("done", "getting 127.0.0.1:5987/base/python:3.11", "1.5 s", "150 MB")


def test_a_base_image_that_is_there_is_not_shown():
    assert said(view_of(StepEvent("[base 1/2] FROM a", "cached", 0.0))) == []


def test_a_layer_that_says_that_it_is_empty_is_not_shown():
    name = install("medium")
    events = (
        StepEvent(name, "output", text="nothing in this layer"),
        StepEvent(name, "completed", 0.3),
    )
    assert said(view_of(StepEvent(name, "started"), *events)) == []


def test_an_empty_layer_is_not_shown_from_its_beginning_when_the_lock_was_made_just_now():
    empty, full = (
        StepEvent(RESOLVE, "output", text=text) for text in ("a: 0 packages", "b: 1 packages")
    )
    events = [StepEvent(install(layer), "started") for layer in ("a", "b")]
    assert said(view_of(empty, full, *events))[1:] == [
        ("running", "installing the b packages", "0.0 s", "")
    ]


def test_a_cached_layer_says_how_many_packages_it_has():
    lock = StepEvent(RESOLVE, "output", text="heavy: 3 packages")
    view = view_of(lock, StepEvent(install("heavy"), "cached", 0.0))
    assert said(view)[1:] == [("cached", "installing the heavy packages", "cached", "3 packages")]


def test_cached_layers_of_which_nothing_is_known_are_one_line():
    layers = [StepEvent(install(layer), "cached", 0.0) for layer in ("heavy", "medium", "light")]
    view = view_of(StepEvent(RESOLVE, "cached", 0.0), *layers)
    assert said(view) == [
        ("cached", "resolving the requirements", "cached", ""),
        ("cached", "installing the packages", "cached", ""),
    ]


def test_a_failed_step_and_what_was_stopped_because_of_it():
    view = view_of(
        StepEvent(RESOLVE, "started"),
        StepEvent(PREPARE, "started"),
        StepEvent(install("heavy"), "started"),
        StepEvent(RESOLVE, "output", text="error: no"),
        StepEvent(RESOLVE, "failed", 1.0, "exit code: 1"),
        StepEvent(PREPARE, "failed", 1.5, "context canceled"),
    )
    view.stop(2.0)
    assert said(view) == [
        ("failed", "resolving the requirements", "1.0 s", "error: no"),
        ("stopped", "checking for Python 3.11", "1.5 s", ""),
        ("stopped", "installing the heavy packages", "2.0 s", ""),
    ]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b[2Ja\x9b1mb\x08", "a1mb"),
        ("a\tb", "a b"),
    ],
)
def test_what_a_step_prints_does_nothing_to_the_terminal(line, text):
    assert plain_text(line) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (125.4, "2 min 05 s")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_the_line_that_is_left():
    assert built_line("a:1", 89, 17.4) == "=== Built a:1: 89 packages in 17 s ==="
    assert built_line("a:1", 1, 2.6) == "=== Built a:1: 1 package in 3 s ==="
    assert built_line("a:1", None, 2) == "=== Built a:1 in 2 s ==="


class Lines(logging.Handler):
    """What is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_log_lines(monkeypatch):
    logger, handler = logging.getLogger("container_backend.image.progress"), Lines()
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "level", logging.INFO)
    log = log_steps()
    for event in (
        StepEvent(PREPARE, "cached", 0.0),
        StepEvent(PREPARE, "started"),
        StepEvent(PREPARE, "cached", 0.0),
        StepEvent(RESOLVE, "started"),
        StepEvent(RESOLVE, "output", text="heavy: 1 packages"),
        StepEvent(RESOLVE, "output", text="medium: 0 packages"),
        StepEvent(RESOLVE, "completed", 1.25),
        StepEvent(install("heavy"), "started"),
        StepEvent(install("heavy"), "failed", 61.0, "exit code: 1"),
        StepEvent(install("medium"), "started"),
        StepEvent(install("medium"), "completed", 0.3),
        StepEvent("exporting to image", "started"),
        StepEvent("exporting to image", "failed", 0.3, "context canceled"),
    ):
        log(event)
    assert handler.lines == [
        "    checking for Python 3.11: cached",
        "    resolving the requirements: 1.2 s",
        "    installing the heavy packages: failed",
    ]


class Stream:
    def __init__(self, terminal: bool) -> None:
        self.isatty = lambda: terminal


@pytest.mark.parametrize(
    ("terminal", "environ", "expected"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": "xterm", "CI": "true"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_what_is_a_terminal(terminal, environ, expected):
    assert is_terminal(Stream(terminal), environ) is expected
