"""The display of a build: live lines on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from container_backend.image.progress.steps import count_of
from container_backend.image.progress.view import (
    CACHED,
    DONE,
    FAILED,
    BuildView,
    duration,
    plain_text,
)
from container_backend.machine import is_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TextIO

    from container_backend.image.buildkit import StepEvent

_logger = logging.getLogger(__package__)
_WARNING: Final = re.compile(r"container-backend: warning: (.+)", re.DOTALL)


@contextmanager
def shown_steps() -> Iterator[Callable[[StepEvent], None]]:
    """Yield a function that shows the events of a build."""
    if not (is_terminal(sys.stderr) and is_shown(_logger)):
        yield with_warnings(log_steps())
        return
    # The import of rich is slow: a run that finds its image does without.
    from container_backend.image.progress.live import live_steps

    with live_steps(log_steps()) as show:
        yield with_warnings(show)


def with_warnings(show: Callable[[StepEvent], None]) -> Callable[[StepEvent], None]:
    """The same function, which also logs the warnings of our steps."""
    said: set[str] = set()

    def show_and_warn(event: StepEvent) -> None:
        if event.kind == "output" and (match := _WARNING.match(event.text or "")):
            text = plain_text(match[1]).strip()
            if text not in said:  # BuildKit repeats events
                said.add(text)
                _logger.warning("%s", text)
            return
        show(event)

    return show_and_warn


def is_terminal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """True if lines can be overwritten; a CI's log may pretend to be a terminal."""
    return (
        stream.isatty() and environ.get("TERM") not in ("dumb", "unknown") and not environ.get("CI")
    )


def log_steps() -> Callable[[StepEvent], None]:
    """A function that takes events, and logs a line for each step that ends."""
    view = BuildView()
    said: set[str] = set()

    def log(event: StepEvent) -> None:
        step = view.add(event, time.monotonic())
        if step is None or not step.is_worth_saying or step.state not in (DONE, CACHED, FAILED):
            return
        end = duration(step.seconds) if step.state == DONE else step.state
        line = f"    {step.words}: {end}"
        # BuildKit repeats events.
        if line not in said:
            said.add(line)
            _logger.info("%s", line)

    return log


def built_line(reference: str, packages: int | None, seconds: float) -> str:
    """The log line of a finished build; ``packages`` counts those of the Python index, if known."""
    counted = "" if packages is None else f": {count_of(packages)}"
    return f"=== Built {reference}{counted} in {seconds:.0f} s ==="
