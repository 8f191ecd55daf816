"""Disks with next to no room."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def tiny_disk(folder: Path, size: str = "8k") -> Iterator[None]:
    """A disk with next to no room in the place of a folder, as long as the machine is up."""
    options = f"size={size},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    """Leave no room on a disk."""
    with (folder / "filler").open("wb", 0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(1024)):
            pass
