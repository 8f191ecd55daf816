"""What a lock says: the form of ``templates/split_lock.py``, which pip reads, too. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from container_backend.names import ENVIRONMENT_DIRECTORY

LOCK: Final = "requirements.lock"
# Where it is in an environment image, and in the stage of the Dockerfile that makes it.
LOCK_IN_IMAGE: Final = f"{ENVIRONMENT_DIRECTORY}/{LOCK}"
LOCK_IN_STAGE: Final = f"/lock/{LOCK}"
LOCK_STAGE: Final = "lock"
_LAYER: Final = re.compile(r"# layer: (\w+)")


@dataclass(frozen=True)
class Lock:
    """What exactly is installed.

    Attributes:
        text: A requirements file with hashes.
        layers: Layer → its packages, as ``NAME==VERSION`` or ``NAME @ ADDRESS``.
    """

    text: str
    layers: dict[str, list[str]]

    @property
    def digest(self) -> str:
        """``sha256:…`` of the text."""
        return f"sha256:{hashlib.sha256(self.text.encode()).hexdigest()}"

    @property
    def packages(self) -> list[str]:
        """All of them, layer by layer."""
        return [package for packages in self.layers.values() for package in packages]


def read_lock(text: str) -> Lock:
    """Read a lock that an image has. One of an older version names no layers."""
    layers: dict[str, list[str]] = {}
    layer = ""
    for line in text.splitlines():
        if match := _LAYER.match(line):
            layer = match[1]
        elif line and line[0] not in "# \t":
            layers.setdefault(layer, []).append(line.removesuffix("\\").split(" ; ")[0].strip())
    return Lock(text, layers)
