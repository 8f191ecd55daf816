"""Signals that ask a process to end, turned into the one exception that everybody handles."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextmanager
def termination_interrupts(*signals: str) -> Iterator[None]:
    """Inside, signals raise KeyboardInterrupt, as Ctrl-C does.

    Without effect outside of the main thread, where Python handles no signals, and for a signal
    that the process ignores (``nohup``).

    Args:
        signals: Their names; by default SIGTERM and SIGHUP.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {}
    for name in signals or ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            previous[number] = signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
