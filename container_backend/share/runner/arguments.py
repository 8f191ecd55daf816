"""Read the words after ``docker run IMAGE``. Pure, except for looking up programs."""

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
    """A command line, read.

    Attributes:
        parameters: Name → value.
        storage: Folder for downloads of parameters; None for a temporary one.
        command: Command to run instead of an entry point; empty for none.
        is_guessed: The command has no ``--`` before it.
        is_named: The command line names the entry point.
    """

    entry_point: str = MAIN
    parameters: Mapping[str, str] = field(default_factory=dict)
    storage: str | None = None
    command: Sequence[str] = ()
    is_guessed: bool = False
    help: bool = False
    is_named: bool = False


def read_arguments(arguments: Sequence[str], project: Project) -> Wanted:
    """Read a command line: an entry point and its parameters, or a command.

    The first word is an entry point or a script of the project. Otherwise a program of that name
    is a command, as in ``bash -c …`` and in commands of MLflow's ``docker_env``. After ``--``,
    every word is a command. Before ``-P name=value``, every word is an entry point.

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
        if _is_command(words, project):
            return Wanted(command=words, is_guessed=True)
        named = words.pop(0)
    return _read_options(words, named)


def _is_command(words: Sequence[str], project: Project) -> bool:
    name = words[0]
    if name in project.entry_points or project.interpreter_of(name) is not None:
        return False
    if words[1:2] == ["-P"] and "=" in "".join(words[2:3]):
        return False
    return find_program(name, os.environ) is not None


def find_program(name: str, environ: Mapping[str, str]) -> str | None:
    """The file of a command; None if there is none. Importing :mod:`shutil` would take longer."""
    folders = [""] if "/" in name else environ.get("PATH", os.defpath).split(os.pathsep)
    for folder in folders:
        path = os.path.join(folder, name)  # noqa: PTH118 faster
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
    """Split ``--option=value`` and ``-Pvalue``."""
    if word.startswith("--"):
        option, equals, value = word.partition("=")
        return option, value if equals else None
    if len(word) > 2 and word[:2] in ("-P", "-e"):  # noqa: PLR2004 the option and a value
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
