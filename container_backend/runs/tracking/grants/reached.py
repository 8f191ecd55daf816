"""What is known of the ways of containers to this machine."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from container_backend.machine import make_private, state_folder, write_whole

if TYPE_CHECKING:
    from pathlib import Path

_logger = logging.getLogger(__package__)
_YES: Final = "yes"
_NO: Final = "no"
# A firewall that is set up now is found out on the next day; one that goes, after ten minutes.
_KNOWN_SECONDS: Final = {_YES: 24 * 3600.0, _NO: 600.0}
_RENEW_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Reached:
    """Whether containers of an engine reach an address of this machine, as found out before.

    Attributes:
        way: The name of a file: from :func:`way_of`.
    """

    way: str

    def known(self) -> bool | None:
        """None if that is to be found out."""
        try:
            answer, age = self._file.read_text(encoding="ascii"), self._age()
        except OSError:
            return None
        return answer == _YES if age < _KNOWN_SECONDS.get(answer, 0) else None

    def note(self, *, answer: bool) -> None:
        try:
            make_private(self._file.parent)
            write_whole(self._file, _YES if answer else _NO)
        except OSError as error:
            _logger.debug("%s cannot be written: %s", self._file, error)

    def renew(self) -> None:
        """A container came by this way."""
        try:
            is_old = self._age() > _RENEW_SECONDS
        except OSError:
            is_old = True
        if is_old:
            self.note(answer=True)

    @property
    def _file(self) -> Path:
        return state_folder() / "tracking" / "reached" / self.way

    def _age(self) -> float:
        return time.time() - self._file.stat().st_mtime


def way_of(engine: str, host: str) -> str:
    """The name of the way to an address. Engines with networks of their own have the same addresses.

    Args:
        engine: What tells the engine from others.
    """
    return f"{hashlib.sha256(engine.encode()).hexdigest()[:12]}-{host}"
