"""``.dockerignore``: its patterns, and the files that they leave out, as BuildKit reads them.

https://docs.docker.com/build/concepts/context/#dockerignore-files, and for what is not written there
https://github.com/moby/patternmatcher and the filter of https://github.com/tonistiigi/fsutil.
"""

from __future__ import annotations

import os
import posixpath
import re
import time
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from container_backend.machine import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

# A project of a million files and some patterns takes half a minute.
_SECONDS: Final = 120
# A regular expression tries a name of n characters up to n^k times for k wildcards.
_MOST_FOR_EXPRESSIONS: Final = 2
_ANYTHING: Final = ".*"
_NAME: Final = "[^/]*"
_FOLDERS: Final = "(.*/)?"
_REPEATED: Final = frozenset({_ANYTHING, _NAME, _FOLDERS})
# PATH_MAX of Linux.
_LONGEST_PATH: Final = 4096
_SPECIAL: Final = frozenset("*?[]\\")
# The end of a pattern behind which there is nothing to look for.
_TRAILING: Final = re.compile(r"/\*\*?$")


def patterns_of(text: str) -> list[str]:
    """The patterns in the text of a file; those that bring files back begin with ``!``."""
    found = []
    for line in text.split("\n"):
        pattern = line.strip()
        if pattern and not line.startswith("#"):
            mark = "!" if pattern.startswith("!") else ""
            found.append(mark + _cleaned(pattern.removeprefix(mark).strip()))
    return found


def _cleaned(pattern: str) -> str:
    """As Go's ``filepath.Clean``, without the slash at the beginning."""
    if not pattern:
        return ""
    cleaned = posixpath.normpath(re.sub("^/+", "/", pattern))
    return cleaned if cleaned == "/" else cleaned.removeprefix("/")


def not_ignored(
    folder: Path,
    patterns: Sequence[str],
    defaults: Sequence[str] = (),
    is_left_out: Callable[[Collection[str]], bool] = lambda _: False,
) -> Iterator[str]:
    """Relative paths of files, links and folders that no pattern leaves out, in no order.

    Args:
        patterns: Of the project; the last one that matches counts.
        defaults: Patterns before these. Folders that they leave out come back if a pattern of the project
            begins with their path (``!.venv``), and not by ``!**/*.py``.
        is_left_out: Takes the names in a folder; True for one to treat as if a default named it.

    Raises:
        ValueError: A pattern is wrong, and the message has the pattern; or all of them take too long.
        OSError: A folder cannot be read.
    """
    rules = _Rules([_read(each) for each in defaults], [_read(each) for each in patterns])
    todo: list[tuple[str, _Seen]] = [("", _Seen((), is_ignored=False))]
    while todo:
        path, above = todo.pop()
        with os.scandir(folder / path) as scanned:
            entries = list(scanned)
        if path:
            if is_left_out({entry.name for entry in entries}) and not rules.name(path):
                continue
            if not above.is_ignored:
                yield path
        for entry in entries:
            inner = f"{path}/{entry.name}" if path else entry.name
            seen = rules.look_at(inner, above)
            if not entry.is_dir(follow_symlinks=False):
                if not seen.is_ignored:
                    yield inner
            elif not seen.is_ignored or rules.may_bring_back_in(inner, seen):
                todo.append((inner, seen))


@dataclass(frozen=True)
class _Seen:
    """Of each pattern, if it matches a path; a pattern that would change nothing is not asked."""

    matches: tuple[bool, ...]
    is_ignored: bool


class _Rules:
    """All patterns. Gives up after a time: names and patterns may be of another person."""

    def __init__(self, defaults: Sequence[_Pattern], own: Sequence[_Pattern]) -> None:
        self._patterns = (*defaults, *own)
        self._count = len(defaults)
        exceptions = [_TRAILING.sub("", each.text) for each in own if each.is_exception]
        self._exceptions = [f"{text}/" for text in exceptions]
        self._anywhere = any(_SPECIAL & set(text) for text in exceptions)
        self._until = time.monotonic() + _SECONDS

    def look_at(self, path: str, above: _Seen) -> _Seen:
        """What the patterns say of a path, whose folder they were asked about."""
        if time.monotonic() > self._until:
            raise ValueError(
                f"its patterns take more than {_SECONDS} s for the files of the project"
            )
        is_ignored, matches = False, []
        for number, pattern in enumerate(self._patterns):
            match = bool(above.matches) and above.matches[number]
            if not match and pattern.is_exception == is_ignored:
                match = pattern.match(path)
            matches.append(match)
            if match:
                is_ignored = not pattern.is_exception
        return _Seen(tuple(matches), is_ignored)

    def may_bring_back_in(self, folder: str, seen: _Seen) -> bool:
        """True if a pattern may bring back a file in a folder that is left out."""
        is_default = any(seen.matches[: self._count])
        return (self._anywhere and not is_default) or self.name(folder)

    def name(self, folder: str) -> bool:
        """True if a pattern brings back the folder, or something in it, by its path."""
        return any(text.startswith(f"{folder}/") for text in self._exceptions)


def _read(text: str) -> _Pattern:
    try:
        pattern = _Pattern(text.removeprefix("!"), text.startswith("!"))
        pattern.match("")
    except (ValueError, re.error) as error:
        raise ValueError(f"'{shortened(text)}' is no pattern: {error}") from error
    return pattern


@dataclass(frozen=True)
class _Pattern:
    text: str
    is_exception: bool = False

    @cached_property
    def match(self) -> Callable[[str], bool]:
        """Takes a path; in time proportional to path and pattern, however many ``*`` it has."""
        if not self.text or (self.is_exception and self.text == "/"):
            raise ValueError("a name is missing")
        if len(self.text) > _LONGEST_PATH:
            raise ValueError("it is longer than a path can be")
        found = list(_tokens(self.text))
        tokens = [  # what may be repeated already need not be
            token
            for before, token in pairwise(["", *found])
            if token != before or token not in _REPEATED
        ]
        if sum(token in _REPEATED for token in tokens) > _MOST_FOR_EXPRESSIONS:
            return _Automaton(tokens).match
        expression = re.compile("".join(tokens), re.DOTALL)
        return lambda path: expression.fullmatch(path) is not None


def _tokens(pattern: str) -> Iterator[str]:
    """A regular expression in pieces, each for one character or for any number of them."""
    at, end = 0, len(pattern)
    while at < end:
        character = pattern[at]
        if pattern.startswith("**", at):
            begin, at = at, at + 2
            is_folder = pattern.startswith("/", at)
            at += is_folder
            is_suffix = begin == 0 and not is_folder and not _SPECIAL & set(pattern[at:])
            yield _ANYTHING if at == end or is_suffix else _FOLDERS
            continue
        if character == "[":
            token, at = _set(pattern, at)
            yield token
            continue
        if character == "\\":
            at += 1
            if at == end:
                raise ValueError("nothing follows '\\'")
        at += 1
        if character == "*":
            yield _NAME
        else:
            yield "[^/]" if character == "?" else re.escape(pattern[at - 1])


def _set(pattern: str, at: int) -> tuple[str, int]:
    """``[a-z]`` as a regular expression, and the place behind it.

    https://pkg.go.dev/path/filepath#Match
    """
    at += 1
    found = ["["]
    if pattern.startswith("^", at):
        found, at = ["[^"], at + 1
    while True:
        if pattern.startswith("]", at) and len(found) > 1:
            return "".join([*found, "]"]), at + 1
        first, at = _of_set(pattern, at)
        last = first
        if pattern.startswith("-", at):
            last, at = _of_set(pattern, at + 1)
        found.append(f"{re.escape(first)}-{re.escape(last)}")


def _of_set(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("\\", at):
        at += 1
    elif pattern[at : at + 1] in {"", "-", "]"}:
        raise ValueError("a '[' lacks its ']', or what is between them")
    if at >= len(pattern):
        raise ValueError("a '[' lacks its ']'")
    return pattern[at], at + 1


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
            elif text == _ANYTHING:
                self._anything |= bit
            elif text == _NAME:
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
