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
_WITH_VALUE = INCLUDES | INDEX | EDITABLE | frozenset(COLLECTED)
IGNORED = frozenset({"--use-pep517", "--use-feature", "--no-use-pep517"})


def passed_on(option: str, value: str, line: Line) -> str:
    """The line for uv; raises InvalidEnvironment if something else follows the option."""
    if not PASSED_ON[option].fullmatch(value):
        raise InvalidEnvironment(f"{line.where}: '{value}' cannot follow '{option}'.")
    return f"{option} {value}".strip()


def split_option(text: str, line: Line) -> tuple[str, str]:
    """Name and value of ``--name value``, ``--name=value``, ``-r value``, ``-rvalue``.

    Raises:
        InvalidEnvironment: The line is no option, or lacks a value.
    """
    if not text.startswith("--"):
        option, value = text[:2], text[2:].strip()
    else:
        match = re.match(r"(--[a-z0-9-]+)(?:\s*=\s*|\s+|$)(.*)", text)
        if match is None:
            raise InvalidEnvironment(f"{line.where}: '{text}' is not an option.")
        option, value = match.group(1), match.group(2).strip()
    if value[:1] in {"'", '"'}:
        try:
            value = " ".join(shlex.split(value))
        except ValueError as error:
            raise InvalidEnvironment(f"{line.where}: '{text}': {error}.") from error
    if not value and option in _WITH_VALUE:
        raise InvalidEnvironment(f"{line.where}: the option '{option}' needs a value.")
    return option, value
