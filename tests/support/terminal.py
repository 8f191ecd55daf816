"""A terminal for a command, and every screen that it showed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROWS = 40
# What says how the terminal of the tests is; a worker of xdist sets its width.
_OF_THE_TESTS = frozenset({"CI", "COLUMNS", "LINES", "NO_COLOR"})


@dataclass
class Shown:
    """What a command showed.

    Attributes:
        screens: Each one that differed from the one before, as a text.
        exit_code: Of the command; the negative number of a signal that ended it.
        cursor_hidden: Whether it left the cursor hidden.
    """

    screens: list[str]
    exit_code: int
    cursor_hidden: bool

    @property
    def last(self) -> str:
        return self.screens[-1]


def run_on_terminal(
    command: Sequence[str],
    *,
    columns: int = 160,
    on_screen: Callable[[str, subprocess.Popen[bytes]], None] = lambda _screen, _process: None,
    seconds: float = 300,
    **variables: str,
) -> Shown:
    """Run a command to its end.

    Args:
        command: Its arguments.
        columns: The width of the terminal.
        on_screen: Told of each screen.
        seconds: After which it is killed.
        variables: For its environment.
    """
    screen = pyte.Screen(columns, ROWS)
    stream = pyte.ByteStream(screen)
    screens: list[str] = []
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    inherited = {key: value for key, value in os.environ.items() if key not in _OF_THE_TESTS}
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**inherited, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **variables},
    )
    os.close(theirs)
    deadline = threading.Timer(seconds, process.kill)
    deadline.start()
    try:
        with contextlib.suppress(OSError):  # which Linux raises when the other end is closed
            while data := os.read(ours, 65536):
                stream.feed(data)
                text = "\n".join(line.rstrip() for line in screen.display).rstrip()
                if not screens or text != screens[-1]:
                    screens.append(text)
                    on_screen(text, process)
        return Shown(screens, process.wait(), screen.cursor.hidden)
    finally:
        deadline.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
