"""``container-backend`` and ``mlflow`` in this process: text and exit code, without their start."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import fluent
from mlflow.tracking._tracking_service import utils as tracking_service

from container_backend.cli.app import main
from container_backend.runs.ledger import start as supervision
from container_backend.store import experiment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def run_mlflow(arguments: tuple[str, ...]) -> None:
    """The command of MLflow, whose import alone takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as the interpreter, of libraries
        from mlflow.cli import cli
    cli(arguments, prog_name="mlflow")


PROGRAMS = {"container-backend": main, "mlflow": run_mlflow}


def run_in_process(
    program: str,
    arguments: tuple[str, ...],
    *,
    cwd: Path | str | None,
    env: Mapping[str, str] | None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of ``PROGRAMS`` to its end, as a process that begins with nothing but its environment."""
    out, err = _Stream(), _Stream()
    with _surroundings((program, *arguments), cwd, env), _streams(out, err):
        code = _exit_code(program, arguments)
    return subprocess.CompletedProcess((program, *arguments), code, out.text(), err.text())


class _Stream(io.TextIOWrapper):
    """A stream with bytes under it, as that of a process whose output is a pipe."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        """All that was written, with the newlines that a pipe in text mode gives."""
        self.flush()
        text = self.buffer.getvalue().decode()
        return text.replace("\r\n", "\n").replace("\r", "\n")


def _exit_code(program: str, arguments: tuple[str, ...]) -> int:
    """What :mod:`container_backend.cli.process` and the interpreter make of the end of a command."""
    try:
        PROGRAMS[program](arguments)
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            sys.stderr.write(f"{leaving.code}\n")
            return 1
        return int(leaving.code or 0)
    except Exception:  # noqa: BLE001 as the interpreter
        traceback.print_exc()
        return 1
    return 0


@contextlib.contextmanager
def _streams(out: _Stream, err: _Stream) -> Iterator[None]:
    with (
        Path(os.devnull).open() as nothing,
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "stdin", nothing)
        yield


@contextlib.contextmanager
def _surroundings(
    words: tuple[str, ...], cwd: Path | str | None, env: Mapping[str, str] | None
) -> Iterator[None]:
    """Inside, what outlasts a call in one process is as in a new one; afterwards, as before."""
    environ = dict(os.environ)
    runs = fluent._active_run_stack.get()
    with pytest.MonkeyPatch.context() as patch, _own_logging():
        if cwd is not None:
            patch.chdir(cwd)
        patch.setattr(sys, "argv", [*words])
        # By which click tells `python -m`.
        patch.setattr(sys.modules["__main__"], "__package__", "")
        patch.setattr(tempfile, "tempdir", None)
        patch.setattr(tracking_service, "_tracking_uri", None)
        patch.setattr(fluent, "_active_experiment_id", None)
        patch.setattr(experiment, "_experiments", {})
        patch.setattr(supervision, "_failed", set())
        patch.setattr(supervision, "_started", {})
        fluent._active_run_stack.set([])
        try:
            if env is not None:
                _set_environment(env)
            yield
        finally:
            _set_environment(environ)
            fluent._active_run_stack.set(runs)


def _set_environment(environ: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environ.keys():
        del os.environ[name]
    os.environ.update(environ)


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Inside, logging of the package is not set up yet."""
    logger = logging.getLogger("container_backend")
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
