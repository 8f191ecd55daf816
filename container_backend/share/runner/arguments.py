"""The words after ``docker run IMAGE`` → what is wanted. Pure, but for looking for files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn

from container_backend.errors import InvalidConfig
from container_backend.project.entry_points import MAIN
from container_backend.project.parameters import read_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from container_backend.project.entry_points import Project

_HELP: Final = ("-h", "--help")
_WITH_VALUE: Final = ("-P", "-e", "--entry-point", "--storage-dir")
HINT: Final = "Try --help."


@dataclass(frozen=True)
class Wanted:
    """What a command line asks for.

    Attributes:
        entry_point: Its name.
        parameters: Name → value.
        storage: Where files of parameters are downloaded to; None for somewhere temporary.
        command: A command to run instead of an entry point; empty for none.
        is_guessed: The words did not say that it is a command.
        help: Whether only help is wanted.
        is_named: Whether the entry point was named.
    """

    entry_point: str = MAIN
    parameters: Mapping[str, str] = field(default_factory=dict)
    storage: str | None = None
    command: Sequence[str] = ()
    is_guessed: bool = False
    help: bool = False
    is_named: bool = False


def read_arguments(
    arguments: Sequence[str], project: Project, environ: Mapping[str, str] = os.environ
) -> Wanted:
    """Read a command line: an entry point and its parameters, or a command.

    The first word is an entry point, or a script of the project; or else, if there is a program of
    that name, a command, as in ``bash -c …`` and what MLflow's ``docker_env`` starts. After ``--``
    it is a command in any case. What looks like a command and is followed by ``-P name=value`` is
    meant as an entry point.

    Args:
        arguments: The words.
        project: Which entry points there are.
        environ: Where the ``PATH`` is looked up.

    Raises:
        InvalidConfig: An option is wrong.
    """
    words = list(arguments)
    if words[:1] == ["--"]:
        if not words[1:]:
            raise InvalidConfig("A command is needed after '--'.", remedy=HINT)
        return Wanted(command=words[1:])
    named = None
    if words and not words[0].startswith("-"):
        if _is_command(words, project, environ):
            return Wanted(command=words, is_guessed=True)
        named = words.pop(0)
    return _read_options(words, named)


def _is_command(words: Sequence[str], project: Project, environ: Mapping[str, str]) -> bool:
    name = words[0]
    if name in project.entry_points or project.interpreter_of(name) is not None:
        return False
    if words[1:2] == ["-P"] and "=" in "".join(words[2:3]):
        return False
    return find_program(name, environ) is not None


def find_program(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The file that a command means; None for none. :mod:`shutil` would take longer to import."""
    folders = [""] if "/" in name else environ.get("PATH", os.defpath).split(os.pathsep)
    for folder in folders:
        path = os.path.join(folder, name)  # noqa: PTH118 as fast as can be
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113
            return path
    return None


def _read_options(words: Sequence[str], named: str | None) -> Wanted:
    pairs: list[str] = []
    storage = None
    rest = iter(words)
    for word in rest:
        if word in _HELP:
            return Wanted(named or MAIN, help=True, is_named=named is not None)
        option, value = _split(word)
        if option not in _WITH_VALUE:
            _refuse(word, next(rest, None))
        if value is None:
            value = next(rest, None)
        if value is None:
            raise InvalidConfig(f"Option '{option}' requires an argument.", remedy=HINT)
        if option == "-P":
            pairs.append(value)
        elif option == "--storage-dir":
            storage = value
        elif named is not None:
            raise InvalidConfig(f"Two entry points are named: '{named}' and '{value}'.")
        else:
            named = value
    try:
        parameters = read_pairs(pairs)
    except ValueError as error:
        raise InvalidConfig(f"Invalid value for '-P': {error}") from None
    return Wanted(named or MAIN, parameters, storage, is_named=named is not None)


def _split(word: str) -> tuple[str, str | None]:
    """``--option=value`` and ``-Pvalue``, apart."""
    if word.startswith("--"):
        option, equals, value = word.partition("=")
        return option, value if equals else None
    if len(word) > 2 and word[:2] in ("-P", "-e"):  # noqa: PLR2004 a letter and more
        return word[:2], word[2:]
    return word, None


def _refuse(word: str, following: str | None) -> NoReturn:
    if not word.startswith("-"):
        raise InvalidConfig(
            f"'{word}' is not expected here: parameters are given as -P NAME=VALUE.", remedy=HINT
        )
    option, value = _split(word)
    name = option.lstrip("-")
    value = value or following or "…"
    raise InvalidConfig(
        f"No such option: {option}",
        remedy=f"A parameter is given as -P {name}={value}. {HINT}" if name else HINT,
    )
