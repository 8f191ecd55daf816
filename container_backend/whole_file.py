"""Files that somebody else may read at any time: there whole, or not at all."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from container_backend.file_lock import open_private

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Write a file under another name beside it, and give it its own when all of it is there.

    Args:
        file: In a folder that is there. What it was before is replaced.
        text: Its content.

    Raises:
        OSError: It cannot be written.
    """
    whole = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        with open_private(whole, "xb") as opened:
            opened.write(text.encode())
        whole.replace(file)
    except OSError:
        with suppress(OSError):
            whole.unlink()
        raise
