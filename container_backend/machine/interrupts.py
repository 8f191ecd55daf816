"""Turns SIGINT, SIGTERM and SIGHUP into KeyboardInterrupt."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Raises KeyboardInterrupt when a signal arrives, or after a critical section."""

    def __init__(self) -> None:
        self._previous: dict[int, Any] = {}
        self._held = False
        self._came = 0

    def hold(self) -> None:
        """Begin a critical section: a signal is noted and raises nothing."""
        self._held = True

    def release(self, *, hangup: bool = True) -> None:
        """End the critical section.

        Args:
            hangup: False restores the earlier handler of SIGHUP.

        Raises:
            KeyboardInterrupt: A signal arrived meanwhile.
        """
        self._held = False
        if not hangup and signal.SIGHUP in self._previous:
            signal.signal(signal.SIGHUP, self._previous.pop(signal.SIGHUP))
            if self._came == signal.SIGHUP:
                os.kill(os.getpid(), signal.SIGHUP)
                return
        if self._came:
            raise KeyboardInterrupt

    def _install(self) -> None:
        for number in _SIGNALS:
            if _is_to_be_handled(number):
                self._previous[number] = signal.signal(number, self._handle)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if not self._held:
            raise KeyboardInterrupt
        self._came = number


@contextmanager
def termination_interrupts() -> Iterator[Interrupts]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does.

    No effect outside the main thread, where Python handles no signals, for a signal that the
    process ignores (``nohup``), and for Ctrl-C if the application has its own handler.
    """
    interrupts = Interrupts()
    if threading.current_thread() is threading.main_thread():
        interrupts._install()
    try:
        yield interrupts
    finally:
        interrupts._restore()


def _is_to_be_handled(number: int) -> bool:
    current = signal.getsignal(number)
    if number == signal.SIGINT:
        return current is signal.default_int_handler
    return current is not signal.SIG_IGN
