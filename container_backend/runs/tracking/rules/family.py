"""What a program has made: the children of its run, its models, traces and registered names.

The list is on disk, so that a proxy that was killed knows it again.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from container_backend.runs.tracking.rules.addresses import RUN

if TYPE_CHECKING:
    from pathlib import Path


class Family:
    """The run of a program, and what was made for it."""

    def __init__(self, file: Path, run_id: str) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._known = {(RUN, run_id)}
        with suppress(FileNotFoundError):
            for line in file.read_text(encoding="utf-8").split("\n"):
                with suppress(ValueError):  # the last line may be cut off
                    kind, named = json.loads(line)
                    self._known.add((kind, named))

    def has(self, kind: str, named: str) -> bool:
        return (kind, named) in self._known

    def ids(self, kind: str) -> list[str]:
        """All of a kind, in order."""
        return sorted(named for known, named in list(self._known) if known == kind)

    def add(self, kind: str, named: str) -> None:
        """Note something that was made. Raises OSError."""
        if self.has(kind, named):
            return
        with self._lock:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps([kind, named]) + "\n")
            self._known.add((kind, named))
