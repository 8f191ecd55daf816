"""A build context as a tar: the same files, the same bytes."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCKERFILE: Final = "Dockerfile"
_MODE: Final = 0o644


def pack(files: Mapping[str, bytes]) -> bytes:
    """A tar of a few files, the Dockerfile first.

    The first header must be a plain one: an extended (PAX) header there makes the engine read
    the whole tar as a Dockerfile.

    Args:
        files: Path → content.

    Raises:
        ValueError: There is no Dockerfile.
    """
    if DOCKERFILE not in files:
        raise ValueError(f"a build context needs a {DOCKERFILE}")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(files, key=lambda path: (path != DOCKERFILE, path)):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(files[path]), _MODE, 0
            tar.addfile(entry, io.BytesIO(files[path]))
    return packed.getvalue()
