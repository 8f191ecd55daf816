"""The live lines of a build on a terminal, one for each step."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from container_backend.image.progress.view import (
    CACHED,
    DONE,
    FAILED,
    RUNNING,
    STOPPED,
    BuildView,
)
from container_backend.machine import termination_interrupts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import ConsoleOptions

    from container_backend.image.buildkit import StepEvent
    from container_backend.image.progress.view import StepView


_PER_SECOND: Final = 8
_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_SPINNER: Final = "|/-\\"
_MARKS: Final = {DONE: "✓", CACHED: "✓", FAILED: "✗", STOPPED: "–"}  # noqa: RUF001 a dash
_ASCII_MARKS: Final = {DONE: "+", CACHED: "+", FAILED: "x", STOPPED: "-"}
_STYLES: Final = {
    RUNNING: "cyan", DONE: "green", CACHED: "dim", FAILED: "bold red", STOPPED: "yellow"
}  # fmt: skip
# Two threads of one process may build, but there is one terminal.
_terminal = threading.Lock()


@contextmanager
def live_steps(otherwise: Callable[[StepEvent], None]) -> Iterator[Callable[[StepEvent], None]]:
    """Yield a function that shows events; yield ``otherwise`` if another build has the terminal.

    At the end the lines disappear, except those of a failed build. Other output to standard error
    appears above the lines. SIGTERM and SIGHUP raise KeyboardInterrupt, to restore the terminal.
    """
    if not _terminal.acquire(blocking=False):
        yield otherwise
        return
    try:
        with termination_interrupts(), _live(BuildView()) as show:
            yield show
    finally:
        _terminal.release()


@contextmanager
def _live(view: BuildView) -> Iterator[Callable[[StepEvent], None]]:
    # With soft_wrap, other output is not cut: people copy it.
    console = Console(stderr=True, force_terminal=True, soft_wrap=True, highlight=False)
    live = Live(
        console=console,
        get_renderable=lambda: _lines(view, console.options),
        refresh_per_second=_PER_SECOND,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )

    def show(event: StepEvent) -> None:
        view.add(event, time.monotonic())

    with live:
        try:
            yield show
        except BaseException:
            view.stop(time.monotonic())
            live.transient = False
            raise


def _lines(view: BuildView, options: ConsoleOptions) -> Group:
    now = time.monotonic()
    steps = list(view)
    widths = (
        max((len(step.words) for step in steps), default=0),
        max((len(step.time(now)) for step in steps), default=0),
    )
    width = options.max_width - 1
    return Group(*(_line(step, now, widths, width, options.ascii_only) for step in steps))


def _line(
    step: StepView, now: float, widths: tuple[int, int], width: int, ascii_only: bool
) -> Text:
    line = Text(no_wrap=True)
    line.append(f"    {_mark(step.state, now, ascii_only)} ", style=_STYLES[step.state])
    line.append(f"{step.words:<{widths[0]}}  {step.time(now):>{widths[1]}}")
    if step.detail:
        line.append(f"  {step.detail}", style="dim")
    line.truncate(width, overflow="crop" if ascii_only else "ellipsis")
    return line


def _mark(state: str, now: float, ascii_only: bool) -> str:
    if state == RUNNING:
        frames = _ASCII_SPINNER if ascii_only else _SPINNER
        return frames[int(now * _PER_SECOND) % len(frames)]
    return (_ASCII_MARKS if ascii_only else _MARKS)[state]
