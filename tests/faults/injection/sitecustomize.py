"""Kills the process that it is loaded into, once, where a fault test wants it.

On the path of Python, it is loaded at the start of each process. FAULT_AT names a function and
whether it is reached or left, as in ``container_backend.runs.ending.finish:finish:before``; FAULT_IN is a word
of the command that is meant; FAULT_MARK is a file that is made by the process that is killed, so
that the one that takes its place lives.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType


def die(mark: str) -> None:
    """Unless another process did so before."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(function: Callable[..., Any], when: str, mark: str) -> Callable[..., Any]:
    """The function, and death before or after it."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            die(mark)
        result = function(*arguments, **named)
        if when == "after":
            die(mark)
        return result

    return wrapped


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module as it is, and then changes one function of it."""

    def __init__(self, at: str, mark: str) -> None:
        self.module, self.path, self.when = at.split(":")
        self.mark = mark
        self.spec: importlib.machinery.ModuleSpec | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del target
        if fullname != self.module:
            return None
        self.spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert self.spec is not None
        return importlib.util.spec_from_loader(fullname, self, origin=self.spec.origin)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        del spec
        return None

    def exec_module(self, module: ModuleType) -> None:
        assert self.spec is not None
        assert self.spec.loader is not None
        module.__file__ = self.spec.origin
        self.spec.loader.exec_module(module)
        *owners, name = self.path.split(".")
        owner: Any = functools.reduce(getattr, owners, module)
        setattr(owner, name, deadly(getattr(owner, name), self.when, self.mark))


if "FAULT_AT" in os.environ and any(os.environ["FAULT_IN"] in word for word in sys.orig_argv):
    sys.meta_path.insert(0, Finder(os.environ["FAULT_AT"], os.environ["FAULT_MARK"]))
