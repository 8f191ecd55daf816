"""Masks secrets in a program's output, in messages and in addresses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MASK: Final = b"***"
# Parts of the names of variables with secret values.
_SECRET_WORDS: Final = ("PASSWORD", "TOKEN", "SECRET", "KEY", "CREDENTIAL", "CONNECTION_STRING")
_SECRET_PARAMETERS: Final = frozenset({"pwd", "passwd", "sig", "x-amz-signature"})
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*")
# `user:password@` of an address. A database's password may contain a slash, a port may not.
# https://docs.sqlalchemy.org/en/20/core/engines.html#database-urls
_USER: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://"
    r"((?:[^\s/?#]*)(?=@)|[^\s:/?#@\[]*:(?!\d*(?:[/?#\s]|$))[^\s@]*(?=@))@"
)
_PARAMETER: Final = re.compile(r"(?<=[?&;])([A-Za-z0-9_.-]+)=([^&;#\s'\"<>]+)")
# Shorter secrets occur in ordinary text: masking them would reveal them.
_SHORTEST: Final = 4


def is_secret(name: str) -> bool:
    """True if a variable's name shows that its value is a secret."""
    return any(word in name.upper() for word in _SECRET_WORDS)


def secrets_in(environment: Mapping[str, str], *, shortest: int = _SHORTEST) -> frozenset[bytes]:
    """The values of variables with secret names, and the passwords in addresses.

    Args:
        shortest: Leave out secrets with fewer characters.
    """
    found = set()
    for name, value in environment.items():
        if is_secret(name):
            found.add(value)
        for password in _passwords(value):
            found |= {password, unquote(password)}
    return frozenset(value.encode() for value in found if len(value) >= shortest)


def masked(text: str, secrets: Iterable[bytes]) -> str:
    masker = Masker(secrets)
    data = masker.mask(text.encode("utf-8", "surrogateescape")) + masker.rest()
    return data.decode("utf-8", "surrogateescape")


def without_credentials(text: str) -> str:
    """Remove users and passwords from all addresses in a text.

    The user of an ``ssh`` address stays, because the address is useless without it. An image's
    ``name@digest`` has no user.
    """
    text = _USER.sub(_without_user, text)
    return _ADDRESS.sub(lambda found: _PARAMETER.sub(_without_value, found[0]), text)


def _without_user(found: re.Match[str]) -> str:
    scheme, user = found[1].lower(), found[2]
    if scheme == "docker":
        return found[0]
    account = user.partition(":")[0]
    return f"{found[1]}://{account}@" if scheme.endswith("ssh") and account else f"{found[1]}://"


def _without_value(found: re.Match[str]) -> str:
    return f"{found[1]}={MASK.decode()}" if _is_secret_parameter(found[1]) else found[0]


def _is_secret_parameter(name: str) -> bool:
    return is_secret(name) or name.lower() in _SECRET_PARAMETERS


def _passwords(text: str) -> Iterator[str]:
    if "://" not in text:
        return
    for found in _USER.finditer(text):
        if found[1].lower() != "docker":
            yield found[2].partition(":")[2]
    for address in _ADDRESS.finditer(text):
        for found in _PARAMETER.finditer(address[0]):
            if _is_secret_parameter(found[1]):
                yield found[2]


class Masker:
    """Masks secrets in a stream of bytes; holds back only bytes that may begin a secret."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._secrets)))
        self._held = b""

    def mask(self, data: bytes) -> bytes:
        """Earlier and new data, masked, up to the first byte that may begin a secret."""
        if not self._secrets:
            return data
        data = self._held + data
        cut = self._cut(data)
        self._held = data[cut:]
        return self._pattern.sub(MASK, data[:cut])

    def rest(self) -> bytes:
        """The data held back at the end of the stream, masked."""
        rest, self._held = self._held, b""
        return self._pattern.sub(MASK, rest) if rest else b""

    def _cut(self, data: bytes) -> int:
        """The index of the first byte that may begin a secret; never inside a whole secret."""
        longest = min(len(data), len(self._secrets[0]) - 1)
        for cut in range(len(data) - longest, len(data)):
            end = data[cut:]
            if any(len(end) < len(secret) and secret.startswith(end) for secret in self._secrets):
                inside = (found.end() for found in self._pattern.finditer(data)
                          if found.start() < cut < found.end())  # fmt: skip
                return next(inside, cut)
        return len(data)
