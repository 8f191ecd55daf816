"""Secrets that a program was handed, left out of what it writes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MASK: Final = b"***"
# Parts of the names of variables that hold secrets.
_SECRET_WORDS: Final = ("PASSWORD", "TOKEN", "SECRET", "KEY", "CREDENTIAL", "CONNECTION_STRING")
_SECRET_PARAMETERS: Final = frozenset({"pwd", "passwd", "sig", "x-amz-signature"})
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*")
# `user:password@` of an address. It ends before the path; the passwords of databases may have a slash
# (https://docs.sqlalchemy.org/en/20/core/engines.html#database-urls), which no port has.
_USER: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://"
    r"((?:[^\s/?#]*)(?=@)|[^\s:/?#@\[]*:(?!\d*(?:[/?#\s]|$))[^\s@]*(?=@))@"
)
_PARAMETER: Final = re.compile(r"(?<=[?&;])([A-Za-z0-9_.-]+)=([^&;#\s'\"<>]+)")
# Shorter ones are found everywhere, and their mask would tell more than it hides.
_SHORTEST: Final = 4


def is_secret(name: str) -> bool:
    """Whether a variable's name says that its value is not for everybody."""
    return any(word in name.upper() for word in _SECRET_WORDS)


def secrets_in(environment: Mapping[str, str], *, shortest: int = _SHORTEST) -> frozenset[bytes]:
    """The values of a container's variables that are not for everybody.

    Those of variables whose names say so, and the passwords in addresses.

    Args:
        environment: Name → value.
        shortest: Characters; what is shorter is left out.
    """
    found = set()
    for name, value in environment.items():
        if is_secret(name):
            found.add(value)
        for password in _passwords(value):
            found |= {password, unquote(password)}
    return frozenset(value.encode() for value in found if len(value) >= shortest)


def masked(text: str, secrets: Iterable[bytes]) -> str:
    """A whole text without secrets."""
    masker = Masker(secrets)
    data = masker.mask(text.encode("utf-8", "surrogateescape")) + masker.rest()
    return data.decode("utf-8", "surrogateescape")


def without_credentials(text: str) -> str:
    """A text, or an address, in which no address has a password, nor a user beside an account.

    The user of ``ssh`` is an account, without which the address is of no use; what is before the
    digest of an image is none.
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
    """The passwords in the addresses of a text."""
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
