"""What is shown of a build: live lines on a terminal, log lines otherwise."""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from container_backend.image.progress.steps import count_of
from container_backend.image.progress.view import (
    CACHED,
    DONE,
    FAILED,
    BuildView,
    duration,
)
from container_backend.machine import is_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TextIO

    from container_backend.image.buildkit import StepEvent

_logger = logging.getLogger(__package__)


@contextmanager
def shown_steps() -> Iterator[Callable[[StepEvent], None]]:
    """A function that shows what it is told of a build, which lasts as long as the context."""
    if not (is_terminal(sys.stderr) and is_shown(_logger)):
        yield log_steps()
        return
    # Only here: a run that finds its image does not wait for the import.
    from container_backend.image.progress.live import live_steps

    with live_steps(log_steps()) as show:
        yield show


def is_terminal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether lines can be written over there; not in a CI's log, whatever it pretends to be."""
    return (
        stream.isatty() and environ.get("TERM") not in ("dumb", "unknown") and not environ.get("CI")
    )


def log_steps() -> Callable[[StepEvent], None]:
    """A function that logs a line for each step that matters, when it is done."""
    view = BuildView()
    said: set[str] = set()

    def log(event: StepEvent) -> None:
        step = view.add(event, time.monotonic())
        if step is None or not step.is_worth_saying or step.state not in (DONE, CACHED, FAILED):
            return
        end = duration(step.seconds) if step.state == DONE else step.state
        line = f"    {step.words}: {end}"
        # BuildKit repeats itself.
        if line not in said:
            said.add(line)
            _logger.info("%s", line)

    return log


def built_line(reference: str, packages: int | None, seconds: float) -> str:
    """What is left of a build to say, as a log line.

    Args:
        reference: Of the image.
        packages: How many of the Python index are in it, where that is known.
        seconds: How long it took.
    """
    took = f"{seconds:.0f} s"
    if packages is None:
        return f"=== Built {reference} in {took} ==="
    return f"=== Built {reference}: {count_of(packages)} in {took} ==="
