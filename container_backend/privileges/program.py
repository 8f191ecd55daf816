"""What a program is given: its user and groups, its network, its limits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

DEFAULT: Final = "default"
STRICT: Final = "strict"
TRUSTED: Final = "trusted"
# User and group of a program that root starts and that does not need root.
_UNPRIVILEGED: Final = (1000, 1000)
_MOST_PROCESSES: Final = 4096
# Of a program that may not fill this machine's disk, in bytes.
MOST_OUTPUT: Final = 1024**3
# The same for the artifacts of one run, in bytes.
MOST_ARTIFACTS: Final = 10 * 1024**3
# A step of a step of a step …, and the steps of one program: in all, and at once. A program that is not
# trusted has fewer: each step has all that one run may have.
MOST_DEPTH: Final = 5
MOST_STEPS: Final = 1000
MOST_STEPS_AT_ONCE: Final = 16
MOST_DEPTH_OF_OTHERS: Final = 2
MOST_STEPS_OF_OTHERS: Final = 100
MOST_STEPS_OF_OTHERS_AT_ONCE: Final = 4
# Of the output of such a step that the driver is shown, in bytes.
MOST_OUTPUT_OF_STEP: Final = 64 * 1024**2
# What a run leaves of the engine's memory: a sixteenth, and at least this.
_SHARE_LEFT: Final = 16
_LEAST_LEFT: Final = 256 * 1024**2
_LIMITS: Final = ("memory", "pids-limit")
_SWAP: Final = "memory-swap"


def user_of_program(
    *, writes: bool, is_rootless: bool = False, uid: int | None = None
) -> tuple[int, int]:
    """The user and the group that a program runs as.

    A program runs as the user who starts it, so that this user owns the files it writes. It runs
    as root only if root starts it and lets it write to a folder of this machine. Root in a container
    of a rootless engine is the user of that engine.

    Args:
        writes: The program gets a folder that it may write to.
        uid: Replaces this process's user in tests.
    """
    if is_rootless:
        return (0, 0) if writes else _UNPRIVILEGED
    uid = os.getuid() if uid is None else uid
    return _UNPRIVILEGED if uid == 0 and not writes else (uid, os.getgid())


def needs_any_file(folders: Iterable[Path], uid: int) -> bool:
    """True if the program runs as root, and has to write to a folder of another user.

    Root without capabilities is a user like any other.
    """
    return uid == 0 and any(folder.exists() and folder.stat().st_uid != 0 for folder in folders)


def network_of_program(typed: str | None, *, only_here: bool) -> str | None:
    """The user's network, or this machine's for a tracking server that listens only here."""
    return typed or ("host" if only_here else None)


def default_args(
    typed: Collection[str], level: str, memory: int, limits: Collection[str]
) -> dict[str, Any]:
    """The docker arguments of a program that the user did not type, by their long names.

    Args:
        typed: Long names of the arguments that the user typed.
        level: ``default``, ``strict`` or ``trusted``.
        memory: Of the engine's machine, in bytes; 0 if unknown.
        limits: The limits that the engine can enforce.
    """
    given: dict[str, Any] = {"security-opt": ["no-new-privileges"]}
    if level == STRICT:
        given["network"] = "none"
    if level != TRUSTED:
        given |= {"cap-drop": ["ALL"], "ipc": "private", "pids-limit": _MOST_PROCESSES}
    # More memory than swap would be refused.
    if level != TRUSTED and memory and _SWAP not in typed:
        given["memory"] = memory - max(_LEAST_LEFT, memory // _SHARE_LEFT)
        if "memory" not in typed and _SWAP in limits:
            given[_SWAP] = given["memory"]  # else the engine adds as much swap again
    if "privileged" in typed:  # it gives what these would take
        given = {
            name: value for name, value in given.items() if name in (*_LIMITS, _SWAP, "network")
        }
    return {
        name: value
        for name, value in given.items()
        # These are added to what is typed.
        if (name not in typed or name in {"cap-drop", "security-opt"})
        and (name not in _LIMITS or name in limits)
    }


def missing_limits(typed: Collection[str], limits: Collection[str]) -> list[str]:
    """The default limits that the engine cannot enforce."""
    return [name for name in _LIMITS if name not in typed and name not in limits]
