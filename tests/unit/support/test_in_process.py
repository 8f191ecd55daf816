"""The command in the process of the tests says what a process says, and leaves nothing behind."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

import mlflow
import pytest

from tests.support.commands import run_command, run_process

PROJECT = "name: p\nentry_points: {main: {command: 'x {n}', parameters: {n: int}}}\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--version",), 0),
        (("run", ".", "-P", "n=x"), 2),
        (("completion", "bash"), 0),
        (("ps",), 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_it_says_what_a_process_says(tmp_path, arguments, code):
    (tmp_path / "MLproject").write_text(PROJECT)
    env = {**os.environ, "DOCKER_HOST": "unix:///no/such.sock", "NO_COLOR": "1"}
    here, there = (
        run("container-backend", *arguments, cwd=tmp_path, env=env)
        for run in (run_command, run_process)
    )
    assert (here.returncode, there.returncode) == (code, code), there.stderr
    assert (here.stdout, here.stderr) == (there.stdout, there.stderr)


def test_it_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    logger = logging.getLogger("container_backend")

    def what_lasts() -> tuple[object, ...]:
        return (
            dict(os.environ), Path.cwd(), sys.argv, sys.stdout, sys.stderr, sys.stdin,
            logger.handlers[:], logger.level, logger.propagate, logging.root.handlers[:],
            mlflow.get_tracking_uri(), mlflow.active_run(), tempfile.tempdir,
        )  # fmt: skip

    before = what_lasts()
    # It sets up its logging, and gets as far as the engine.
    other = {"DOCKER_HOST": "unix:///no/such.sock", "HOME": str(tmp_path), "MLFLOW_RUN_ID": "1"}
    (tmp_path / "MLproject").write_text("entry_points: {main: {command: 'true'}}\n")
    done = run_command("container-backend", "run", ".", cwd=tmp_path, env=other)
    assert done.returncode == 3, done.stderr
    assert "No Docker engine answers" in done.stderr
    assert what_lasts() == before


def test_an_active_run_of_the_tests_is_not_the_commands(tmp_path, monkeypatch):
    """As with a process, which knows of it by the environment only."""
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", "7")
    stack = mlflow.tracking.fluent._active_run_stack
    stack.set(["a run"])
    try:
        run_command("container-backend", "--version")
        assert stack.get() == ["a run"]
    finally:
        stack.set([])
    assert mlflow.tracking.fluent._active_experiment_id == "7"
