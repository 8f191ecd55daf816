"""Processes of this package that commands leave behind: supervisors and tracking proxies."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPERVISOR: Final = "container_backend.runs.supervise.process"
PROXY: Final = "container_backend.runs.tracking.serving.process"


def processes_of(state: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and words of each process whose folder for state is this one."""
    mark = f"XDG_STATE_HOME={state}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                words = (folder / "cmdline").read_bytes().decode().split("\0")
                yield int(folder.name), words


def processes_named(module: str, state: Path) -> list[int]:
    """The processes of a module, without the shells that start them again."""
    return [pid for pid, words in processes_of(state) if words[1:3] == ["-m", module]]


def proxies(state: Path) -> list[int]:
    return processes_named(PROXY, state)


def supervisors(workplace: Path) -> list[int]:
    """The processes of the supervisor that was started on demand for a test's runs, with the shell."""
    return [pid for pid, words in processes_of(workplace / "state") if SUPERVISOR in words]


def kill_supervisors(workplace: Path) -> None:
    """End the supervisor of a test's runs; a lock that it held is free when this returns."""
    pids = supervisors(workplace)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(_holds_files(pid) for pid in pids))


def _holds_files(pid: int) -> bool:
    """False for a process that is gone, and for one that only its parent still has to ask about.

    The first thread may end before the others, which still hold the files of all.
    """
    return any(map(_lives, Path(f"/proc/{pid}/task").glob("*/stat")))


def _lives(stat: Path) -> bool:
    try:
        state = stat.read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
