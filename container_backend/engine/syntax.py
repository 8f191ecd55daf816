"""The docker command's syntax of sizes and of ``.dockerignore`` patterns."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine.sdk import (
    DockerException,
    Pattern,
    PatternMatcher,
    fnmatch,
    parse_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# A regular expression tries a name of n characters up to n^k times for k wildcards.
_MOST_FOR_EXPRESSIONS: Final = 2
_FOLDERS: Final = "(.*/)?"
# A project of a million files and some patterns takes half a minute.
_SECONDS: Final = 120
# What the SDK makes of a pattern: `**` in the middle, `**` at the end, `*`, a set, one character.
_TOKEN: Final = re.compile(r"\(\.\*/\)\?|\.\*|\[\^/\]\*?|\[(?:\\.|[^\]\\])+\]|\\.|.", re.DOTALL)


def parse_size(text: str) -> int:
    """``512m`` → bytes; raises ValueError for an invalid size."""
    try:
        return int(parse_bytes(text))
    except DockerException as error:
        raise ValueError(str(error)) from error


def not_ignored(folder: Path, patterns: Sequence[str]) -> Iterator[str]:
    """Relative paths of files, links and folders that no pattern excludes.

    https://docs.docker.com/build/concepts/context/#dockerignore-files

    Raises:
        ValueError: A pattern is wrong, and the message has the pattern; or all of them take too long.
    """
    matcher = _Matcher(())
    # The SDK adds a pattern for its own file, which stays the last.
    matcher.patterns[:0] = [each for each in map(_read, patterns) if each.dirs]
    yield from matcher.walk(str(folder))


def _read(pattern: str) -> _Pattern:
    try:
        found = _Pattern(pattern)
        found.match("")
    except re.error as error:
        raise ValueError(f"'{pattern}' is no pattern: {error}") from error
    return found


class _Matcher(PatternMatcher):
    """Gives up after a time: names and patterns may be of another person."""

    def __init__(self, patterns: Sequence[str]) -> None:
        super().__init__(patterns)
        self._until = time.monotonic() + _SECONDS

    def matches(self, filepath: Any) -> bool:  # noqa: ANN401 as in the SDK
        if time.monotonic() > self._until:
            raise ValueError(
                f"its patterns take more than {_SECONDS} s for the files of the project"
            )
        return bool(super().matches(filepath))


class _Pattern(Pattern):
    """A pattern that is matched in time proportional to name and pattern, however many ``*`` it has."""

    def __init__(self, pattern: str) -> None:
        super().__init__(pattern)
        expression = fnmatch.translate(self.cleaned_pattern)[1:-1]  # without ^ and $
        tokens = [match[0] for match in _TOKEN.finditer(expression)]
        wildcards = sum(token.endswith(("*", ")?")) for token in tokens)
        self._automaton = _Automaton(tokens) if wildcards > _MOST_FOR_EXPRESSIONS else None

    def match(self, filepath: str) -> bool:
        if self._automaton is None:
            return bool(super().match(filepath))
        return self._automaton.match(filepath)


class _Automaton:
    """All places in a pattern at which a name may be, as the bits of one number.

    A token has the bit of the place before it. The token ``(.*/)?`` has one more, inside of it.

    See https://en.wikipedia.org/wiki/Bitap_algorithm
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._single: list[tuple[int, re.Pattern[str]]] = []
        self._names = self._anything = self._folders = self._inside = 0
        bit = 1
        for text in tokens:
            if text == _FOLDERS:
                self._folders |= bit
                bit <<= 1
                self._inside |= bit
            elif text == ".*":
                self._anything |= bit
            elif text == "[^/]*":
                self._names |= bit
            else:
                self._single.append((bit, re.compile(text, re.DOTALL)))
            bit <<= 1
        self._end = bit
        self._accepting: dict[str, int] = {}

    def match(self, name: str) -> bool:
        at = self._past_optional(1)
        for character in name:
            after = (at & self._accepts(character)) << 1 | at & (self._anything | self._inside)
            after |= (at & self._folders) << 1
            if character == "/":
                after |= (at & self._folders) << 2 | (at & self._inside) << 1
            else:
                after |= at & self._names
            at = self._past_optional(after)
        return bool(at & self._end)

    def _accepts(self, character: str) -> int:
        """The places before a token of one character that is this one."""
        found = self._accepting.get(character)
        if found is None:
            found = sum(bit for bit, single in self._single if single.match(character))
            self._accepting[character] = found
        return found

    def _past_optional(self, at: int) -> int:
        """With the places after tokens that may stand for nothing."""
        while True:
            after = at | (at & (self._anything | self._names)) << 1 | (at & self._folders) << 2
            if after == at:
                return at
            at = after
