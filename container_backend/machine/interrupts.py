"""Signals that ask a process to end, turned into the one exception that everybody handles."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupts:
    """Raises KeyboardInterrupt where a signal comes, or later."""

    def __init__(self) -> None:
        """Nothing is handled yet."""
        self._previous: dict[int, Any] = {}
        self._held = False
        self._came = 0

    def hold(self) -> None:
        """From now on, note what comes: something is done that must not be left half-way."""
        self._held = True

    def release(self, *, hangup: bool = True) -> None:
        """No longer.

        Args:
            hangup: Whether SIGHUP is still an interrupt. If not, it does what it did before.

        Raises:
            KeyboardInterrupt: One came meanwhile.
        """
        self._held = False
        number = getattr(signal, "SIGHUP", 0)
        if not hangup and number in self._previous:
            signal.signal(number, self._previous.pop(number))
            if self._came == number:
                os.kill(os.getpid(), number)
                return
        if self._came:
            raise KeyboardInterrupt

    def _install(self) -> None:
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and _is_to_be_handled(number):
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
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does.

    Without effect outside of the main thread, where Python handles no signals, and for a signal
    that the process ignores (``nohup``), or a Ctrl-C that it handles itself.
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
