"""Masks secrets in a program's output, in messages and in addresses."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MASK: Final = b"***"
# A name is read as words: `apiKey`, `API_KEY` and `x-api-key` have the same ones.
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Ends of words that name a secret: `DBPASSWORD` is one, `MAX_TOKENS` and `KEYWORDS` are none.
_SECRETS: Final = (
    "PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "SECRETS", "CREDENTIAL",
    "CREDENTIALS", "KEY", "CONNECTIONSTRING",
)  # fmt: skip
_SEVERAL: Final = re.compile(
    r"CONNECTION STRING|PASS WORD|(?:API|ACCESS|AUTH|SECRET|PRIVATE|SERVICE) (?:KEYS|TOKENS)|. (?:PASS|PAT|PWD)$"
)
_ANIMALS: Final = frozenset({"DONKEY", "HOCKEY", "JOCKEY", "MONKEY", "TURKEY", "WHISKEY"})
# A last word that says that the value is about a secret, and none.
_ABOUT: Final = frozenset(
    {"COLUMN", "COLUMNS", "COL", "COUNT", "DIR", "ENDPOINT", "FIELD", "FILE", "FOLDER", "FORMAT",
     "HOST", "INDEX", "LEN", "LENGTH", "LIMIT", "NAME", "NUM", "PATH", "POLICY", "SIZE", "TTL", "TYPE"}
)  # fmt: skip
# Words before KEY and TOKEN that name a part of data: SORT_KEY=loss, PAD_TOKEN=<pad>.
_OF_DATA: Final = frozenset(
    {"BOS", "CACHE", "CLS", "END", "EOS", "FOREIGN", "LOOKUP", "MASK", "MAX", "MERGE", "MIN", "OBJECT",
     "PAD", "PARTITION", "PUBLIC", "ROW", "SEP", "SORT", "SPECIAL", "START", "STOP", "UNIQUE", "UNK"}
)  # fmt: skip
_SECRET_PARAMETERS: Final = frozenset({"pwd", "passwd", "sig", "x-amz-signature"})
# No scheme is longer, and from each character of a longer word a scheme would be looked for.
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]{0,63}"
_ADDRESS: Final = re.compile(rf"{_SCHEME}://\S*")
# `user:password@` of an address. A database's password may contain a slash, a port may not.
# https://docs.sqlalchemy.org/en/20/core/engines.html#database-urls
_USER: Final = re.compile(
    rf"({_SCHEME})://"
    r"((?:[^\s/?#]*)(?=@)|[^\s:/?#@\[]*:(?!\d*(?:[/?#\s]|$))[^\s@]*(?=@))@"
)
_PARAMETER: Final = re.compile(r"(?<=[?&;])([A-Za-z0-9_.-]+)=([^&;#\s'\"<>]+)")
# Shorter secrets occur in ordinary text, shorter numbers in every log: masking them would reveal them.
_SHORTEST: Final = 4
_SHORTEST_NUMBER: Final = 8
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")
# Secrets that could be parts of words and numbers are masked only where they are whole.
_PLAIN: Final = re.compile(rb"[A-Za-z]{1,15}|[0-9.,+-]+")
# Before one, a colour, a line break in quotes, or `%3D` may end.
_BEFORE_PLAIN: Final = (
    rb"(?:(?<![A-Za-z0-9.\x80-\xff])|(?<=\x1b\[m)|(?<=\x1b\[\dm)|(?<=\x1b\[\d\dm)|(?<=;\dm)|(?<=;\d\dm)|"
    rb"(?<=\\[nrt])|(?<=%[0-9A-F]{2}))"
)
_BEHIND: Final = 5
_AFTER_PLAIN: Final = rb"(?![A-Za-z0-9\x80-\xff]|\.[0-9])"
# So many bytes after it tell whether a secret is whole.
_AHEAD: Final = 2


def is_secret(name: str) -> bool:
    """True if a variable's name shows that its value is a secret."""
    words = [word.upper() for word in _WORD.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    of_data = {word for before, word in pairwise(words) if before in _OF_DATA} & {"KEY", "TOKEN"}
    named = {word for word in words if word.endswith(_SECRETS)} - _ANIMALS
    return bool(named - of_data) or _SEVERAL.search(" ".join(words)) is not None


def secrets_in(environment: Mapping[str, str], *, shortest: int = _SHORTEST) -> frozenset[bytes]:
    """The values of variables with secret names, and the passwords in addresses.

    Args:
        shortest: Leave out secrets with fewer characters; and, unless this is 1, short numbers.
    """
    shortest_number = _SHORTEST_NUMBER if shortest > 1 else shortest
    found = set()
    for name, value in environment.items():
        if is_secret(name):
            found.add(value)
        for password in _passwords(value):
            found |= {password, unquote(password)}
    return frozenset(
        value.encode()
        for value in found
        if len(value) >= shortest
        and (len(value) >= shortest_number or not _NUMBER.fullmatch(value))
    )


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
        self._plain = {secret for secret in self._secrets if _PLAIN.fullmatch(secret)}
        self._pattern = re.compile(b"|".join(map(self._pattern_of, self._secrets)))
        self._before = b""  # the last bytes that were passed on, which may make a word longer
        self._held = b""

    def _pattern_of(self, secret: bytes) -> bytes:
        pattern = re.escape(secret)
        return _BEFORE_PLAIN + pattern + _AFTER_PLAIN if secret in self._plain else pattern

    def mask(self, data: bytes) -> bytes:
        """Earlier and new data, masked, up to the first byte that may begin a secret."""
        if not self._secrets:
            return data
        data = self._before + self._held + data
        return self._masked(data, self._cut(data))

    def rest(self) -> bytes:
        """The data held back at the end of the stream, masked."""
        data = self._before + self._held
        return self._masked(data, len(data))

    def _masked(self, data: bytes, cut: int) -> bytes:
        """What follows the bytes of before, up to an index, masked; the rest is held back."""
        pieces, at = [], len(self._before)
        for found in self._pattern.finditer(data, at):
            if found.start() >= cut:
                break
            pieces += [data[at : found.start()], MASK]
            at = found.end()
        pieces.append(data[at:cut])
        self._before, self._held = data[max(0, cut - _BEHIND) : cut], data[cut:]
        return b"".join(pieces)

    def _cut(self, data: bytes) -> int:
        """The index of the first byte that may begin a secret; never inside a whole secret."""
        longest = len(self._secrets[0]) - 1 + _AHEAD
        first = max(len(self._before), len(data) - longest)
        for cut in range(first, len(data)):
            end = data[cut:]
            if any(self._may_begin(secret, end) for secret in self._secrets):
                inside = (found.end() for found in self._pattern.finditer(data, len(self._before))
                          if found.start() < cut < found.end())  # fmt: skip
                return next(inside, cut)
        return len(data)

    def _may_begin(self, secret: bytes, end: bytes) -> bool:
        """True if the end of the data is the beginning of a secret, or one that may not be whole."""
        if len(end) < len(secret):
            return secret.startswith(end)
        return secret in self._plain and len(end) < len(secret) + _AHEAD and end.startswith(secret)
