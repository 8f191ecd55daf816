"""Secrets that a program was handed, left out of what it writes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MASK: Final = b"***"
# Parts of the names of variables that hold secrets.
_SECRET_WORDS: Final = ("PASSWORD", "TOKEN", "SECRET", "KEY", "CREDENTIAL", "CONNECTION_STRING")
# Shorter ones are found everywhere, and their mask would tell more than it hides.
_SHORTEST: Final = 4


def is_secret(name: str) -> bool:
    """Whether a variable's name says that its value is not for everybody."""
    return any(word in name.upper() for word in _SECRET_WORDS)


def secrets_in(environment: Mapping[str, str]) -> frozenset[bytes]:
    """The values of a container's variables that are not for everybody.

    Those of variables whose names say so, and the passwords in addresses.
    """
    found = set()
    for name, value in environment.items():
        if is_secret(name):
            found.add(value)
        if "://" in value and "@" in value and (password := _password(value)):
            found |= {password, unquote(password)}
    return frozenset(value.encode() for value in found if len(value) >= _SHORTEST)


def _password(address: str) -> str | None:
    try:
        return urlsplit(address).password
    except ValueError:
        return None


class Masker:
    """Masks secrets in a stream of bytes that comes in pieces.

    What may be the beginning of a secret is held back until it is known; nothing else is.
    """

    def __init__(self, secrets: Iterable[bytes]) -> None:
        """Nothing has come yet.

        Args:
            secrets: What must not be seen.
        """
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._pattern = (
            re.compile(b"|".join(map(re.escape, self._secrets))) if self._secrets else None
        )
        self._held = b""

    def mask(self, data: bytes) -> bytes:
        """What may be passed on of it, and of what was held back."""
        if self._pattern is None:
            return data
        data = self._held + data
        cut = self._cut(data)
        self._held = data[cut:]
        return self._pattern.sub(MASK, data[:cut])

    def rest(self) -> bytes:
        """What was held back; nothing more will come."""
        rest, self._held = self._held, b""
        return self._pattern.sub(MASK, rest) if self._pattern is not None else rest

    def _cut(self, data: bytes) -> int:
        """Where that begins which may become a secret; never inside of one."""
        if self._pattern is None:
            return len(data)
        longest = min(len(data), max(map(len, self._secrets)) - 1)
        for cut in range(len(data) - longest, len(data)):
            end = data[cut:]
            if any(len(end) < len(secret) and secret.startswith(end) for secret in self._secrets):
                inside = (found.end() for found in self._pattern.finditer(data)
                          if found.start() < cut < found.end())  # fmt: skip
                return next(inside, cut)
        return len(data)
