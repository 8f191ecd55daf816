"""Options of the installer in requirements files.

https://pip.pypa.io/en/stable/reference/requirements-file-format/#supported-options
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from container_backend.errors import InvalidEnvironment

if TYPE_CHECKING:
    from container_backend.environment.declared import Line

# Installer options that uv reads from a requirements file as pip does, with what may follow: uv takes
# anything else for an option of its own.
_NAMES = re.compile(r":all:|:none:|[A-Za-z0-9][\w.-]*(\s*,\s*[A-Za-z0-9][\w.-]*)*")
_NOTHING = re.compile("")
PASSED_ON = {
    "--no-binary": _NAMES,
    "--only-binary": _NAMES,
    "--pre": _NOTHING,
    "--prefer-binary": _NOTHING,
    "--require-hashes": _NOTHING,
    "--no-index": _NOTHING,
}
# Options that may be repeated → the attribute of `Requirements` that collects their values.
COLLECTED = {
    "--extra-index-url": "extra_index_urls",
    "-f": "find_links",
    "--find-links": "find_links",
    "--trusted-host": "trusted_hosts",
}
CONSTRAINTS = frozenset({"-c", "--constraint"})
INCLUDES = CONSTRAINTS | {"-r", "--requirement"}
INDEX = frozenset({"-i", "--index-url", "--pypi-url"})
EDITABLE = frozenset({"-e", "--editable"})
FIND_LINKS = frozenset({"-f", "--find-links"})
_OPTION = re.compile(r"-[a-zA-Z]|--[a-z0-9-]+")
_EDITABLE = re.compile(r"(-e|--editable)(?:\s*=\s*|\s+|(?<=-e)(?=\S)|$)(.*)")
_WITH_VALUE = INCLUDES | INDEX | EDITABLE | frozenset(COLLECTED)
IGNORED = frozenset({"--use-pep517", "--use-feature", "--no-use-pep517"})


def passed_on(option: str, value: str, line: Line) -> str:
    """The line for uv; raises InvalidEnvironment if something else follows the option."""
    if not PASSED_ON[option].fullmatch(value):
        raise InvalidEnvironment(f"{line.where}: '{value}' cannot follow '{option}'.")
    return f"{option} {value}".strip()


def split_options(text: str, line: Line) -> list[tuple[str, str]]:
    """Name and value of each option in ``--name value``, ``--name=value``, ``-r value``, ``-rvalue``.

    pip splits a line as a shell does, and takes any number of options:
    ``-i https://index.test/simple --trusted-host index.test``.

    Raises:
        InvalidEnvironment: The line is no option, or one lacks a value.
    """
    if editable := _EDITABLE.fullmatch(text):  # a marker has quotes of its own
        if not editable[2]:
            raise InvalidEnvironment(f"{line.where}: the option '{editable[1]}' needs a value.")
        value, quote = editable[2], editable[2][:1]
        is_quoted = quote in {"'", '"'} and value.endswith(quote)
        return [(editable[1], value[1:-1] if is_quoted else value)]
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidEnvironment(f"{line.where}: '{text}': {error}.") from error
    found: list[tuple[str, str]] = []
    while words:
        option, value = _first_option(words, line)
        if option in _WITH_VALUE and not value:
            raise InvalidEnvironment(f"{line.where}: the option '{option}' needs a value.")
        found.append((option, value))
    return found


def _first_option(words: list[str], line: Line) -> tuple[str, str]:
    """Take the first option, and what belongs to it, from the words of a line."""
    word = words.pop(0)
    if word.startswith("--"):
        option, _, value = word.partition("=")
    else:
        option, value = word[:2], word[2:].removeprefix("=")
    if not _OPTION.fullmatch(option):
        raise InvalidEnvironment(f"{line.where}: '{word}' is not an option.")
    if words[:1] == ["="]:  # --name = value
        words.pop(0)
    taken = [value] if value else []
    while words and not words[0].startswith("-"):  # also of a path with spaces and without quotes
        taken.append(words.pop(0))
    return option, " ".join(taken)
